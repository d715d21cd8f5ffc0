"""Every alert fires when it should and stays silent when it only nearly should, as the real promtool sees it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.composed import DEPLOY
from tests.e2e.prometheus_tools import MISSING, tool

RULES = DEPLOY / "prometheus" / "alerts.yml"
SEVERITY = {
    rule["alert"]: rule["labels"]["severity"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
}
Series = dict[str, str]  # in promtool's notation, a value each 10 s: 0+2x30 is 0, 2, … 60; _ is none


@dataclass(frozen=True, kw_only=True)
class Case:
    """What makes an alert fire by a time, with which labels and summary, and what of the same kind does not."""

    fires: Series
    summary: str
    silent: Series
    at: str = "10m"
    labels: dict[str, str] = field(default_factory=dict)


A, B = 'job="position",instance="a"', 'job="position",instance="b"'
R, S = 'job="reconciler",instance="r"', 'job="reconciler",instance="s"'
MAIN = 'venue="hyperliquid",account="main"'
OF_MAIN = {"venue": "hyperliquid", "account": "main"}
INSTANCE_A, INSTANCE_R = ({"job": "position", "instance": "a"}, {"job": "reconciler", "instance": "r"})


def histogram(name: str, labels: str, within: str, beyond: str, *, slow: bool) -> Series:
    """Observations of every 10 s, between two bounds or below the first."""
    low, high = ("0x400", "0+1x400") if slow else ("0+1x400", "0+1x400")
    bounds = {within: low, beyond: high, "+Inf": "0+1x400"}
    return {f'{name}_bucket{{{labels},le="{bound}"}}': values for bound, values in bounds.items()}


CASES = {
    "PositionServiceDown": Case(
        fires={f"up{{{A}}}": "0x60", f"up{{{R}}}": "1x60"},
        summary="No Position service answers: nothing can be booked or read.",
        silent={f"up{{{A}}}": "0x60", f"up{{{B}}}": "1x60"},
    ),
    "PositionReplicaDown": Case(
        fires={f"up{{{A}}}": "0x60", f"up{{{B}}}": "1x60"},
        labels=INSTANCE_A,
        summary="The Position service at a does not answer.",
        silent={f"up{{{A}}}": "1x56 0x4", f"up{{{B}}}": "1x60"},  # not yet for a minute
    ),
    "DatabaseUnreachable": Case(
        fires={f"trueup_database_up{{{A}}}": "0x60"},
        labels=INSTANCE_A,
        summary="PostgreSQL does not answer a: writes and strong reads fail.",
        silent={f"trueup_database_up{{{A}}}": "1x59 0"},
    ),
    "ReconcilerDown": Case(
        fires={f"up{{{A}}}": "1x60"},  # not even known
        summary="No Reconciler answers: drifts are not seen.",
        silent={f"up{{{R}}}": "0x60", f"up{{{S}}}": "1x60"},
    ),
    "ReconcilerReplicaDown": Case(
        fires={f"up{{{R}}}": "0x60", f"up{{{S}}}": "1x60"},
        labels=INSTANCE_R,
        summary="The Reconciler at r does not answer.",
        silent={f"up{{{R}}}": "1x56 0x4"},
    ),
    "NoActiveReconciler": Case(
        fires={f"trueup_reconciler_active{{{R}}}": "0x60", f"trueup_reconciler_active{{{S}}}": "0x60"},
        summary="No Reconciler holds the lease: no cycles run.",
        silent={f"trueup_reconciler_active{{{R}}}": "0x60", f"trueup_reconciler_active{{{S}}}": "1x60"},
    ),
    "PositionServiceUnreachable": Case(
        fires={f"trueup_position_service_up{{{R}}}": "0x60"},
        labels=INSTANCE_R,
        summary="The Reconciler at r does not reach the Position service.",
        silent={f"trueup_position_service_up{{{R}}}": "1x58 0x2"},
    ),
    "RunsStopped": Case(
        fires={
            f"trueup_last_run_timestamp_seconds{{{R}}}": "0x60",
            f"trueup_run_interval_seconds{{{R}}}": "60x60",
        },
        summary="No reconciliation was recorded for 10m 0s.",
        silent={  # 230 s ago, and one who stands by knows of no newer one
            f"trueup_last_run_timestamp_seconds{{{R}}}": "0x37 370x30",
            f"trueup_last_run_timestamp_seconds{{{S}}}": "0x60",
            f"trueup_run_interval_seconds{{{R}}}": "60x60",
        },
    ),
    "VenueUnread": Case(
        fires={f"trueup_venue_check_age_seconds{{{R},{MAIN}}}": "0+10x60"},
        labels=OF_MAIN,
        summary="hyperliquid (main) had no good check for more than five minutes: its drifts are not seen.",
        silent={  # one who stands by reads nothing
            f"trueup_venue_check_age_seconds{{{R},{MAIN}}}": "300x60",
            f"trueup_venue_check_age_seconds{{{S},{MAIN}}}": "0+10x60",
        },
    ),
    "VenueBudgetLow": Case(
        fires={f"trueup_venue_budget_left{{{R},{MAIN}}}": "49x60"},
        labels=OF_MAIN,
        summary="The request budget of hyperliquid is used up: 49 left.",
        silent={f"trueup_venue_budget_left{{{R},{MAIN}}}": "10x30 960 10x30"},  # it comes back each minute
    ),
    "VenuePushDown": Case(
        fires={f"trueup_venue_push_up{{{R},{MAIN}}}": "0x60"},
        labels=OF_MAIN,
        summary="The WebSocket of hyperliquid (main) is down: drifts are found by the interval only.",
        silent={f"trueup_venue_push_up{{{R},{MAIN}}}": "1x60", f"trueup_venue_push_up{{{S},{MAIN}}}": "0x60"},
    ),
    "VenueClockSkewed": Case(
        fires={f'trueup_venue_clock_skew_seconds{{{R},venue="coinbase",account="main"}}': "-90x60"},
        labels={"venue": "coinbase", "account": "main"},
        summary="The clocks of this machine and coinbase differ by 1m 30s.",
        silent={f'trueup_venue_clock_skew_seconds{{{R},venue="coinbase",account="main"}}': "-5x60"},
    ),
    "DriftCritical": Case(
        fires={
            f'trueup_drifts{{{A},kind="MISSING_LOCALLY",status="CONFIRMED"}}': "2x60",
            f'trueup_drifts{{{B},kind="MISSING_LOCALLY",status="CONFIRMED"}}': "2x60",
        },
        labels={"kind": "MISSING_LOCALLY"},
        summary="2 positions are not what the book says (MISSING_LOCALLY), and nobody has taken them on.",
        silent={
            f'trueup_drifts{{{A},kind="SIDE",status="ACKNOWLEDGED"}}': "1x60",
            f'trueup_drifts{{{A},kind="SIZE",status="CONFIRMED"}}': "1x60",
        },
    ),
    "DriftUnattended": Case(
        fires={f'trueup_drift_oldest_seconds{{{A},kind="SIZE",status="CONFIRMED"}}': "0+20x60"},
        labels={"kind": "SIZE"},
        summary="A drift (SIZE) is open for 20m 0s, and nobody has taken it on.",
        silent={
            f'trueup_drift_oldest_seconds{{{A},kind="SIZE",status="CONFIRMED"}}': "900x60",
            f'trueup_drift_oldest_seconds{{{A},kind="SIZE",status="SNOOZED"}}': "0+20x60",
        },
    ),
    "DetectionSlow": Case(
        fires=histogram("trueup_drift_detect_seconds", R, "60", "300", slow=True),
        summary="Of the drifts of the last hour one in ten took longer than 4m 36s to be seen.",
        silent=histogram("trueup_drift_detect_seconds", R, "60", "300", slow=False),
    ),
    "CommitsFail": Case(
        fires={f"trueup_ledger_failures_total{{{A}}}": "0x50 1x10"},
        labels=INSTANCE_A,
        summary="The database did not take what a had to commit.",
        silent={f"trueup_ledger_failures_total{{{A}}}": "0x10 1x50"},  # five minutes ago
    ),
    "CommitsSlow": Case(
        fires=histogram("trueup_ledger_commit_seconds", A, "0.5", "1", slow=True),
        labels={"instance": "a"},
        summary="Commits of a take up to 995ms.",
        silent=histogram("trueup_ledger_commit_seconds", A, "0.5", "1", slow=False),
    ),
    "QueueFilling": Case(
        fires={f"trueup_ledger_queue{{{A}}}": "600x60", f"trueup_ledger_queue_limit{{{A}}}": "1000x60"},
        labels=INSTANCE_A,
        summary="The queue of a is 60% full: soon writes are refused.",
        silent={f"trueup_ledger_queue{{{A}}}": "500x60", f"trueup_ledger_queue_limit{{{A}}}": "1000x60"},
    ),
    "WatchLagging": Case(
        fires={f"trueup_watch_lag_revisions{{{A}}}": "10001x60"},
        labels=INSTANCE_A,
        summary="A watch at a is 10001 revisions behind.",
        silent={f"trueup_watch_lag_revisions{{{A}}}": "0x56 20000x4"},
    ),
    "ReplicaBehind": Case(
        fires={f"trueup_ledger_revision{{{A}}}": "0+200x60", f"trueup_ledger_revision{{{B}}}": "0+100x60"},
        summary="A Position service is 6000 revisions behind the others.",
        silent={f"trueup_ledger_revision{{{A}}}": "0+200x60", f"trueup_ledger_revision{{{B}}}": "0 0+200x59"},
    ),
    "CallsFail": Case(
        fires={  # the first of its kind, after a restart
            f'grpc_calls_total{{{A},method="Open",code="INTERNAL"}}': "1x40 stale _x3 0x5 1x10",
            f'grpc_calls_total{{{A},method="Open",code="OK"}}': "0+5x60",
        },
        labels={"job": "position", "method": "Open"},
        summary="Open failed by a defect: the log has it under a correlation id.",
        silent={
            f'grpc_calls_total{{{A},method="Open",code="INTERNAL"}}': "0x5 1x20 stale _x7 0x27",  # long ago, and a restart
            f'grpc_calls_total{{{A},method="Open",code="NOT_FOUND"}}': "0+5x60",
        },
    ),
    "CallsRefused": Case(
        fires={f'grpc_errors_total{{{A},reason="OVERLOADED"}}': "0x50 57x10"},
        labels={"job": "position", "reason": "OVERLOADED"},
        summary="Calls are refused: OVERLOADED.",
        silent={
            f'grpc_errors_total{{{A},reason="OVERLOADED"}}': "7x60",
            f'grpc_errors_total{{{A},reason="STALE_REVISION"}}': "0+5x60",
        },
    ),
    "CertificateEnds": Case(
        fires={f'tls_certificate_ends_timestamp_seconds{{{A},use="served"}}': "174000x120"},
        labels={"instance": "a", "use": "served"},
        at="20m",
        summary="The certificate of a (served) ends in 2d 0h 0m 0s.",
        silent={f'tls_certificate_ends_timestamp_seconds{{{A},use="served"}}': "1211000x120"},  # in 14 days and some
    ),
}


def written(name: str, case: Case, *, fires: bool) -> dict[str, Any]:
    """A test as promtool has it."""
    alert = {
        "exp_labels": {"severity": SEVERITY[name], **case.labels},
        "exp_annotations": {"summary": case.summary},
    }
    series = case.fires if fires else case.silent
    return {
        "name": f"{name} {'fires' if fires else 'is silent'}",
        "interval": "10s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": [alert] if fires else []}],
    }


def test_every_alert_has_its_cases():
    assert list(CASES) == list(SEVERITY)


@pytest.mark.skipif(not tool("promtool"), reason=MISSING)
@pytest.mark.parametrize("fires", [True, False], ids=["fire", "are-silent"])
def test_alerts(fires: bool, tmp_path: Path):
    tests = [written(name, case, fires=fires) for name, case in CASES.items()]
    file = tmp_path / "alerts_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "10s", "tests": tests}))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
