"""What a caller may leave out: the usual venue, product and names of an instrument."""

from __future__ import annotations

from position_service.domain.errors import InvalidValue
from position_service.domain.position import Product

ACCOUNT = "main"
VENUE = "hyperliquid"

_PRODUCTS = {"hyperliquid": Product.PERPETUAL, "coinbase": Product.SPOT}


def product_at(venue: str) -> Product:
    """What a venue trades unless said otherwise: coinbase spot, every other one perpetuals."""
    return _PRODUCTS.get(venue, Product.PERPETUAL)


def complete(venue: str, symbol: str, asset: str) -> tuple[str, str]:
    """The symbol and the asset, each from the other when it is missing.

    Hyperliquid names perpetuals by their base ("BTC", on a builder's dex "xyz:TSLA") and spot pairs as pairs
    ("PURR/USDC"), Coinbase pairs with a dash ("BTC-USD"). Raises InvalidValue when both are missing.
    """
    if not symbol and not asset:
        raise InvalidValue("asset", 'give the asset (e.g. "BTC/USD") or the venue\'s symbol (e.g. "BTC")')
    base, _, quote = asset.partition("/")
    if asset and not (base and quote):
        raise InvalidValue("asset", 'must be a pair, e.g. "BTC/USD"')
    if not symbol:
        symbol = asset.replace("/", "-") if venue == "coinbase" else base
    if not asset:
        pair = symbol.rpartition(":")[2]
        if venue == "coinbase":
            pair = pair.replace("-", "/", 1)
        asset = pair if "/" in pair else f"{pair}/USD"
    return symbol, asset
