"""What a caller may leave out."""

from __future__ import annotations

import pytest

from position_service.domain.errors import InvalidValue
from position_service.domain.naming import complete, product_at
from position_service.domain.position import Product


@pytest.mark.parametrize(
    ("venue", "symbol", "asset", "expected"),
    [
        ("hyperliquid", "", "BTC/USD", ("BTC", "BTC/USD")),
        ("hyperliquid", "BTC", "", ("BTC", "BTC/USD")),
        ("hyperliquid", "xyz:TSLA", "", ("xyz:TSLA", "TSLA/USD")),
        ("hyperliquid", "PURR/USDC", "", ("PURR/USDC", "PURR/USDC")),  # a spot pair is named as one
        ("coinbase", "", "BTC/USD", ("BTC-USD", "BTC/USD")),
        ("coinbase", "BTC-USD", "", ("BTC-USD", "BTC/USD")),
        ("coinbase", "BTC", "", ("BTC", "BTC/USD")),
        ("coinbase", "BIT-28NOV25-CDE", "BTC/USD", ("BIT-28NOV25-CDE", "BTC/USD")),
    ],
)
def test_symbol_and_asset_follow_from_each_other(venue, symbol, asset, expected):
    assert complete(venue, symbol, asset) == expected


@pytest.mark.parametrize(
    ("symbol", "asset"), [("", ""), ("", "BTC"), ("BTC", "BTC"), ("", "/USD"), ("", "BTC/"), ("", "/")]
)
def test_an_asset_is_a_pair(symbol, asset):
    with pytest.raises(InvalidValue) as refused:
        complete("hyperliquid", symbol, asset)
    assert refused.value.field == "asset"


def test_products_follow_from_venues():
    assert product_at("hyperliquid") is Product.PERPETUAL
    assert product_at("coinbase") is Product.SPOT
    assert product_at("elsewhere") is Product.PERPETUAL
