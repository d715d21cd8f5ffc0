"""What venues say in free text cannot leave the texts that our contracts take: one bad word would stop every run."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler_service.venues import VenueDataError, VenueRefused
from reconciler_service.venues.coinbase import fills, products
from reconciler_service.venues.hyperliquid import decode, flows, history
from reconciler_service.venues.wire import ident, words

BAD = ["\ud800", "a\x00b", "x" * 200_000, "two words", "\u202e", 7, None]
USER = "0x" + "ab" * 20
FILL = {"coin": "BTC", "px": "1", "sz": "1", "side": "B", "time": 1, "oid": 1, "tid": 1, "dir": "Open Long"}
ROW = {"entry_id": "e", "product_id": "BTC-USD", "side": "BUY", "size": "1", "price": "1"}


def entry(**delta: Any) -> dict[str, Any]:
    return {"time": 1, "hash": "0x1", "delta": {"type": "send", "token": "HYPE", "amount": "1"} | delta}


@pytest.mark.parametrize("bad", [one for one in BAD if one is not None])
def test_what_is_kept_as_a_name_is_one_or_an_error(bad: Any) -> None:
    for read in (
        lambda: decode.user_abstraction(bad),
        lambda: decode.user_role({"role": "agent", "data": {"user": bad}}),
        lambda: history.executions([FILL | {"feeToken": bad}]),
        lambda: flows.ledger(entry() | {"hash": bad}, USER),
        lambda: flows.ledger(entry(type=bad), USER),
        lambda: flows.ledger(entry(token=bad), USER),
        lambda: flows.ledger(entry(destination=USER, destinationDex=bad), USER),
        lambda: fills.page({"fills": [ROW | {"trade_time": "2026-01-01T00:00:00Z", "entry_id": bad}]}),
    ):
        with pytest.raises(VenueDataError):
            read()


@pytest.mark.parametrize("bad", BAD)
def test_a_currency_that_nobody_can_book_measures_nothing(bad: Any) -> None:
    row = {"product_id": "A-B", "base_currency_id": bad, "quote_currency_id": bad}
    told = products.product(row)
    assert (told.base, told.quote) == ("", "")
    details = {"contract_root_unit": bad, "contract_size": "1"}
    assert products.product(row | {"product_type": "FUTURE", "future_product_details": details}).base == ""


def test_the_id_of_a_flow_is_short_whatever_stands_in_it_and_another_for_another() -> None:
    keys = {
        flows.ledger(entry(destination=USER, more=more), USER).flows[0].flow_id
        for more in ("", "\ud800", "x" * 200_000)
    }
    assert len(keys) == 3
    assert max(map(len, keys)) < 128


def test_prose_is_shortened_and_printable() -> None:
    assert words(" \ud800a\x00b\nc\u202e ", 7) == "a b c"
    assert words(None) == "None"
    (done,) = history.executions([FILL | {"dir": "\ud800" + "x" * 100}])
    assert done.fill.text == "x" * 63
    with pytest.raises(VenueRefused, match=r"^hyperliquid says: no  x{196}$"):
        decode.refuse_error({"status": "err", "response": "no \x00" + "x" * 1_000})


@pytest.mark.parametrize("good", ["1", "a-b_c.d:e/f", "~" * 128])
def test_ids_are_ids(good: str) -> None:
    assert ident(good, "x") == good
    for bad in ("", good + " ", good + "\n", "~" * 129):
        with pytest.raises(VenueDataError, match="x: expected an id"):
            ident(bad, "x")
