"""The exit code of a reconciliation: venues that were looked at by themselves count as well."""

from __future__ import annotations

import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from trueup_cli.reconciliation import FOUND, REFUSED, verdict


def run(confirmed: int = 0, outcome: str = "OK") -> drift_pb2.Run:
    check = drift_pb2.ScopeCheck(venue="hyperliquid", outcome=f"CHECK_OUTCOME_{outcome}")  # type: ignore[arg-type]
    return drift_pb2.Run(confirmed=confirmed, checks=[check])


@pytest.mark.parametrize(
    ("first", "other", "code"),
    [
        (run(), None, None),
        (run(), run(), None),
        (run(1), None, FOUND),
        (run(), run(1), FOUND),
        (run(outcome="FAILED"), run(1), FOUND),
        (run(outcome="FAILED"), None, REFUSED),
        (run(), run(outcome="SUSPECT"), REFUSED),
    ],
)
def test_the_exit_code(first: drift_pb2.Run, other: drift_pb2.Run | None, code: int | None) -> None:
    assert verdict(pb.ReconcileResponse(run=first, other_runs=[other] if other else [])) == code
