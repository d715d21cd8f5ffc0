"""What venues say of prices, as the Position service takes it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from trueup.position.v1 import position_service_pb2, reconciliation_log_service_pb2
from trueup.types.v1 import types_pb2

from reconciler_service.convert import decimal_text, stamp
from reconciler_service.model import Outcome, Product, ScopeReading, Snapshot


def prices(snapshot: Snapshot, scope: ScopeReading) -> list[position_service_pb2.PriceUpdate]:
    """The marks that a scope which was read completely brought. A price of zero is none.

    They are as old as the state they stand in: none of an old answer may replace a newer one.
    """
    if scope.outcome is not Outcome.OK:
        return []
    at = scope.observed_at or snapshot.requested_at
    symbols = {position.symbol for position in scope.positions}
    return [
        price(snapshot.venue, symbol, mark, at) for symbol, mark in snapshot.marks if mark > 0 and symbol in symbols
    ]


def liquidation_prices(
    snapshot: Snapshot, scope: ScopeReading
) -> reconciliation_log_service_pb2.RecordLiquidationPricesRequest:
    """What a scope that was read completely says of what can be liquidated; as old as the state it stands in."""
    held = [one for one in scope.positions if one.size and one.product is not Product.SPOT]
    return reconciliation_log_service_pb2.RecordLiquidationPricesRequest(
        account=snapshot.account,
        venue=snapshot.venue,
        observed_at=stamp(scope.observed_at or snapshot.requested_at),
        holdings=[
            reconciliation_log_service_pb2.HoldingLiquidation(
                symbol=one.symbol,
                side=getattr(types_pb2, f"SIDE_{one.side.value}"),
                size=decimal_text(one.size),
                price=decimal_text(one.liquidation_price) if one.liquidation_price else "",
            )
            for one in (held if scope.outcome is Outcome.OK else ())
        ],
    )


def price(venue: str, symbol: str, mark: Decimal, at: datetime) -> position_service_pb2.PriceUpdate:
    """A mark price above zero."""
    return position_service_pb2.PriceUpdate(venue=venue, symbol=symbol, price=decimal_text(mark), observed_at=stamp(at))
