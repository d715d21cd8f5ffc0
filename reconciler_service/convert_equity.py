"""From what an account is worth to protobuf: the line of a run, and the case."""

from __future__ import annotations

from decimal import Decimal

from trueup.types.v1 import drift_pb2

from reconciler_service.convert import decimal_text, moment, source, stamp
from reconciler_service.equity import Account, Worth
from reconciler_service.holding import EXACT
from reconciler_service.model import Source
from reconciler_service.wording import plain, short, signed


def check(key: tuple[str, str], account: Account, tolerance: Decimal) -> drift_pb2.EquityCheck:
    """``key`` is venue and account."""
    venue, name = key
    start, now = account.start, account.now
    made = drift_pb2.EquityCheck(
        account=name,
        venue=venue,
        since=stamp(start.at),
        checked_at=stamp(now.at),
        baseline=decimal_text(start.value),
        realized_pnl=decimal_text(account.realized),
        cash_flows=decimal_text(account.moved),
        unrealized_change=decimal_text(EXACT.subtract(now.unrealized, start.unrealized)),
        expected=decimal_text(account.expected),
        actual=decimal_text(now.value),
        gap=decimal_text(account.gap),
        tolerance=decimal_text(tolerance),
        confirmed=account.is_confirmed,
        basis=drift_pb2.EquityBasis(
            unrealized_pnl=decimal_text(start.unrealized),
            revision=account.revision,
            flows_at=stamp(account.flows_at),
            flows=[
                drift_pb2.CountedFlow(flow_id=flow_id, scope=scope, time=stamp(at))
                for (flow_id, scope), at in account.flows.items()
            ],
        ),
    )
    for scope, at in start.times.items():
        made.basis.scopes[scope].FromDatetime(at)
    return made


def account(sent: drift_pb2.EquityCheck) -> Account:
    """What the Reconciler remembered that sent it, to go on from the same start."""
    basis = sent.basis
    unrealized = Decimal(basis.unrealized_pnl)
    now_unrealized = EXACT.add(unrealized, Decimal(sent.unrealized_change))
    times = {scope: moment(at) for scope, at in basis.scopes.items()}
    return Account(
        start=Worth(moment(sent.since), EXACT.subtract(Decimal(sent.baseline), unrealized), unrealized, times),
        now=Worth(moment(sent.checked_at), EXACT.subtract(Decimal(sent.actual), now_unrealized), now_unrealized),
        revision=basis.revision,
        realized=Decimal(sent.realized_pnl),
        moved=Decimal(sent.cash_flows),
        flows={(flow.flow_id, flow.scope): moment(flow.time) for flow in basis.flows},
        flows_at=moment(basis.flows_at),
        is_agreed=True,  # no other is reported
        looks=2 if sent.confirmed else 0,
    )


def is_of(case: drift_pb2.Drift, known: Account) -> bool:
    """Whether a case is about what is remembered: one that counts from another start says nothing of this one."""
    return case.equity.since == stamp(known.start.at)


def drift(
    key: tuple[str, str], account: Account, made: drift_pb2.EquityCheck, origin: Source, run_id: str
) -> drift_pb2.Drift:
    """An account that is not worth what is explained, as RecordRun takes it."""
    venue, name = key
    gap = abs(account.gap)
    more = "more" if account.gap > 0 else "less"
    shown = drift_pb2.EquityCheck()
    shown.CopyFrom(made)
    shown.ClearField("basis")
    text = f"Since {account.start.at:%Y-%m-%d %H:%M:%S} UTC something moved its cash that the book does not know of."
    return drift_pb2.Drift(
        kind=drift_pb2.DRIFT_KIND_EQUITY,
        status=drift_pb2.DRIFT_STATUS_CONFIRMED,
        severity=drift_pb2.DRIFT_SEVERITY_WARNING,
        account=name,
        venue=venue,
        notional_delta=decimal_text(gap),
        rule=f"equity: {short(gap)} USD > {plain(Decimal(made.tolerance))} USD",
        first_seen=stamp(account.since or account.now.at),
        last_seen=stamp(account.now.at),
        times_seen=1,
        source=source(origin),
        explanation=drift_pb2.Explanation(cause=drift_pb2.DRIFT_CAUSE_UNEXPLAINED, text=text),
        summary=f"{name} at {venue} is worth {short(gap)} USD {more} than explained ({signed(account.gap)}). {text}",
        run_id=run_id,
        equity=shown,
    )
