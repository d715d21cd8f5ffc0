"""What the desk lets the Reconciler mend by itself, and when that is not safe. Pure.

A policy is a standing order: this action, for this kind of drift, up to this amount. Without one a drift is only told.
A policy never falls back on another action: fills that do not add up are not made up for by adopting the venue. And it
never believes a venue that holds nothing and tells of nothing that took it away: positions do not go without a trace, but
backends lose their data, and say so for as long as it takes to mend them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from reconciler_service.correct import SETTINGS, Action, BookFills, Command
from reconciler_service.findings import EXPOSURE, ZERO, Cause, Explanation, Finding, Kind
from reconciler_service.holding import EXACT
from reconciler_service.wording import short

_FROM_FILLS = frozenset({Cause.MISSED_FILLS, Cause.LIQUIDATION, Cause.CLOSED_AT_VENUE})


@dataclass(frozen=True, slots=True)
class Policy:
    """``action`` None: only tell. ``max_usd`` is the most that one correction may be about, in quote currency."""

    action: Action | None
    max_usd: Decimal


@dataclass(frozen=True, slots=True)
class Policies:
    """By kind, venue and symbol; "" stands for every one."""

    rows: Mapping[tuple[Kind, str, str], Policy] = field(default_factory=dict)

    def of(self, finding: Finding) -> Policy | None:
        """The most specific policy for a finding; None when it is only to be told."""
        kind, venue, symbol = finding.kind, finding.venue, finding.symbol
        for key in ((kind, venue, symbol), (kind, "", symbol), (kind, venue, ""), (kind, "", "")):
            if policy := self.rows.get(key):
                return policy if policy.action else None
        return None


def objection(policy: Policy, finding: Finding, explanation: Explanation) -> str:
    """Why the policy must not be carried out; empty when it may be tried."""
    if policy.action is Action.APPLY_FILLS and (explanation.cause not in _FROM_FILLS or explanation.estimated):
        return "no fills at the venue account for it"
    if finding.kind is Kind.MISSING_AT_VENUE and explanation.cause is Cause.UNEXPLAINED:
        return "the venue holds nothing and tells of nothing that took it away"
    return excess(policy.max_usd, finding)


def excess(max_usd: Decimal, finding: Finding, commands: Sequence[Command] = ()) -> str:
    """Why a correction is about too much; empty when it is not. The amount of fills is what they traded, not their net."""
    amount = stake(finding)
    if amount is None:
        return f"no price says whether it is about more than {short(max_usd)} USD"
    for command in commands:
        if isinstance(command, BookFills):
            traded = sum((EXACT.multiply(fill.price, fill.size) for fill in command.fills), ZERO)
            amount = max(amount, traded)
    return f"it is about {short(amount)} USD, more than the {short(max_usd)} USD allowed" if amount > max_usd else ""


def stake(finding: Finding) -> Decimal | None:
    """The amount that a correction moves in the book, in quote currency; None without a price to value it at.

    Of a setting it is nothing; of a position that is stuck in between all of it, since it is there or not.
    """
    if finding.kind in SETTINGS:
        return ZERO
    local, actual = finding.local, finding.actual
    size = max(held.size for held in (local, actual) if held is not None)
    if finding.kind is Kind.ENTRY_PRICE:
        assert local is not None
        assert actual is not None
        assert actual.entry_price is not None
        return EXACT.multiply(abs(EXACT.subtract(local.entry_price, actual.entry_price)), size)
    known = (finding.mark, actual.entry_price if actual else None, local.entry_price if local else None)
    price = next((one for one in known if one), None)
    if price is None:
        return None
    return EXACT.multiply(abs(finding.size_delta) if finding.kind in EXPOSURE else size, price)


def unmet(policy: Policy, why: str) -> str:
    """The note of a case that a policy leaves open."""
    assert policy.action is not None
    action = policy.action.value
    return f"policy {action} not carried out: {why.removeprefix(f'{action}: ')}"
