"""Between protobuf and the domain, for RecordFills: executions and funding payments."""

from __future__ import annotations

from decimal import Decimal

from trueup.position.v1 import position_pb2 as pb
from trueup.position.v1 import position_service_pb2 as svc

from position_service import convert
from position_service.domain import commands as c
from position_service.domain import naming
from position_service.domain.book import Draft
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType, Funding
from position_service.domain.position import Instrument


def record_fills(r: svc.RecordFillsRequest) -> c.RecordFills:
    """The command. Raises InvalidValue, naming the entry, and when there is none."""
    if not (r.fills or r.funding):
        raise InvalidValue("fills", "give fills, or funding")
    return c.RecordFills(
        account=r.account or naming.ACCOUNT,
        fills=tuple(_fill(f, i) for i, f in enumerate(r.fills)),
        funding=tuple(_payment(p, i) for i, p in enumerate(r.funding)),
        expected=tuple(_expected(e, i) for i, e in enumerate(r.expected_revisions)),
    )


def _fill(f: svc.Fill, index: int) -> c.Fill:
    venue = f.venue or naming.VENUE
    with convert.inside(f"fills[{index}]"):
        symbol, asset = naming.complete(venue, f.symbol, f.asset)
        executed_at = convert.time_of(f, "executed_at")
    assert executed_at is not None  # required by the contract
    return c.Fill(
        venue=venue,
        symbol=symbol,
        asset=asset,
        product=convert.PRODUCTS.get(f.product) or naming.product_at(venue),
        fill_id=f.fill_id,
        is_buy=f.is_buy,
        size=Decimal(f.size),
        price=Decimal(f.price),
        executed_at=executed_at,
        fee=convert.fee(f),
        leverage=Decimal(f.leverage) if f.leverage else Decimal(1),
        liquidation=f.liquidation,
    )


def _payment(p: svc.FundingPayment, index: int) -> c.FundingPayment:
    venue = p.venue or naming.VENUE
    with convert.inside(f"funding[{index}]"):
        symbol, _ = naming.complete(venue, p.symbol, p.asset)
        paid_at = convert.time_of(p, "paid_at")
    assert paid_at is not None  # required by the contract
    rate = Decimal(p.rate) if p.rate else None
    return c.FundingPayment(venue, symbol, Funding(p.payment_id, Decimal(p.amount), p.currency, rate), paid_at)


def _expected(e: svc.ExpectedRevision, index: int) -> tuple[Instrument, int]:
    venue = e.venue or naming.VENUE
    with convert.inside(f"expected_revisions[{index}]"):
        symbol, _ = naming.complete(venue, e.symbol, e.asset)
    return Instrument(venue, symbol), e.revision


def recorded(draft: Draft, request: svc.RecordFillsRequest, positions: list[pb.Position]) -> svc.RecordFillsResponse:
    """The answer to what a draft has booked of a request; ``positions`` are those it changed, as they are shown."""
    events = (e for e in draft.events if e.type is EventType.RESTATED)
    restated = {(e.after.venue, e.trade.fill_id) for e in events if e.after and e.trade}
    return svc.RecordFillsResponse(
        applied=len(draft.fills),
        duplicates=len(request.fills) - len(draft.fills),
        positions=positions,
        revision=draft.revision,
        funding_applied=len(draft.payments),
        funding_duplicates=len(request.funding) - len(draft.payments),
        restated=len(restated),
    )
