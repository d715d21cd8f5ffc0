"""Every venue decoder and the decimal rule with JSON that almost is what a venue sends.

python -m tests.torture.decoders --seconds 20 --seed 1

True answers of the simulators are changed in a few places and given to every decoder. A decoder returns numbers that are
finite, or raises VenueDataError; anything else is a defect. Where atheris is installed, it chooses the changes by the code
they reach (libFuzzer); elsewhere they are drawn from the seed, and the last line says which of the two it was.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.torture.run import Box, Run

Decoder = Callable[[Any], Any]
VALUES: list[Any] = [
    None, True, 0, -1, 1, 10**30, Decimal("1064075.6000000001"), Decimal("1e400"), Decimal("-0"), "", "0", "-0.0", "1",
    "NaN", "Infinity", "-1e-30", "1e5", "1" * 200, "0." + "1" * 30, "\u0661", "BTC", "xyz:TSLA", "long", [], {}, [None],
    {"value": "1", "currency": "BTC"}, "2026-11-22T14:00:00.123Z", "9999-12-31T23:59:59Z", 2**63, "LONG", "SHORT", "B",
]  # fmt: skip


def cases() -> dict[str, tuple[Decoder, Any]]:
    """Each decoder with an answer that it takes."""
    from reconciler_service.simulator import scenario, wire
    from reconciler_service.simulator.wire import Style
    from reconciler_service.venues.coinbase import decode as cb
    from reconciler_service.venues.coinbase import fills as cb_fills
    from reconciler_service.venues.coinbase import products as cb_products
    from reconciler_service.venues.hyperliquid import decode as hl
    from reconciler_service.venues.hyperliquid import flows, history
    from reconciler_service.venues.wire import amount
    from tests import coinbase_samples as cs

    exchange = scenario.new_exchange(lambda: 1_795_356_000_000)
    scenario.seed(exchange)
    steps = hl.size_steps(_json(wire.meta(exchange, "")))
    fill = {
        "coin": "BTC", "px": "42000.5", "sz": "0.1", "side": "B", "time": 1_795_356_000_000, "startPosition": "0.5",
        "dir": "Open Long", "closedPnl": "0.0", "hash": "0x" + "0" * 64, "oid": 1, "crossed": True, "fee": "0.01",
        "tid": 2, "feeToken": "USDC",
    }  # fmt: skip
    paid = {
        "time": 1_795_356_000_000,
        "hash": "0x0",
        "delta": {
            "type": "funding",
            "coin": "BTC",
            "usdc": "-0.2",
            "szi": "0.5",
            "fundingRate": "0.0000125",
            "nSamples": None,
        },
    }
    moved = {"time": 1_795_356_000_000, "hash": "0x0", "delta": {"type": "deposit", "usdc": "100.0"}}
    page = {"has_next": False, "cursor": "", "size": 1}
    return {
        "hl account_state": (lambda raw: hl.account_state(raw, steps), wire.clearinghouse_state(exchange, scenario.DESK, "", Style())),
        "hl size_steps": (hl.size_steps, wire.meta(exchange, "")),
        "hl all_size_steps": (hl.all_size_steps, wire.all_perp_metas(exchange)),
        "hl perp_dexs": (hl.perp_dexs, wire.perp_dexs(exchange)),
        "hl mids": (hl.mids, wire.all_mids(exchange, "")),
        "hl marks": (hl.marks, wire.meta_and_asset_ctxs(exchange, "")),
        "hl spot_balances": (hl.spot_balances, wire.spot_clearinghouse_state(exchange, scenario.DESK)),
        "hl user_role": (hl.user_role, wire.user_role(exchange, scenario.DESK)),
        "hl sub_accounts": (hl.sub_accounts, wire.sub_accounts(exchange, scenario.DESK, Style())),
        "hl fills": (history.fills, [fill]),
        "hl funding": (history.funding, [paid]),
        "hl ledger": (history.ledger, [moved]),
        "hl flows": (lambda raw: flows.ledger(raw, scenario.DESK), moved),
        "cb account_page": (cb.account_page, {"accounts": [cs.account()], **page}),
        "cb positions": (cb.positions, {"positions": [cs.contract()]}),
        "cb listing": (cb_products.listing, {"products": [cs.spot_product(), cs.future_product()], "num_products": 2}),
        "cb mids": (cb_products.mids, {"pricebooks": [{"product_id": "BTC-USD", "bids": [{"price": "1", "size": "1"}], "asks": [{"price": "2", "size": "1"}]}]}),
        "cb fills": (cb_fills.page, {"fills": [cs.fill()], "cursor": ""}),
        "cb permissions": (cb.permissions, {"can_view": True, "can_trade": False, "can_transfer": False}),
        "cb server_time": (cb.server_time, {"iso": "2026-11-22T14:00:00Z", "epochSeconds": "1795356000", "epochMillis": "1795356000000"}),
        "decimal": (lambda raw: amount(raw[0] if isinstance(raw, list) and raw else raw, "x"), ["1.5"]),
    }  # fmt: skip


def _json(value: Any) -> Any:
    """As it would come over the wire."""
    return json.loads(json.dumps(value, default=str), parse_float=Decimal)


class Chooser:
    """Where changes come from: bytes that a fuzzer gives, or a random generator."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, most: int) -> int:
        taken = self._data[self._at : self._at + 2]
        self._at += 2
        return int.from_bytes(taken, "big") % most if most else 0

    def text(self) -> str:
        size = self.below(12)
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken.decode("utf-8", "replace")


def changed(value: Any, chooser: Chooser, depth: int = 0) -> Any:
    """The value with one place in it changed: replaced, removed, doubled, or given another name."""
    if isinstance(value, dict) and value and (depth < 1 or chooser.below(4)):
        key = list(value)[chooser.below(len(value))]
        action = chooser.below(8)
        if action == 0:
            return {name: one for name, one in value.items() if name != key}
        if action == 1:
            return value | {chooser.text(): value[key]}
        return value | {key: changed(value[key], chooser, depth + 1)}
    if isinstance(value, list) and value and chooser.below(6):
        place = chooser.below(len(value))
        action = chooser.below(6)
        if action == 0:
            return value[:place] + value[place + 1 :]
        if action == 1:
            return [*value, value[place]]
        return [*value[:place], changed(value[place], chooser, depth + 1), *value[place + 1 :]]
    if chooser.below(4) == 0:
        return chooser.text()
    return VALUES[chooser.below(len(VALUES))]


def not_finite(value: Any) -> bool:
    """Whether a number in what a decoder returned is NaN or infinite, or is a float at all."""
    if isinstance(value, Decimal):
        return not value.is_finite()
    if isinstance(value, float):
        return True
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(not_finite(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return any(not_finite(one) for one in value.values())
    return isinstance(value, (list, tuple, set, frozenset)) and any(not_finite(one) for one in value)


class Trial:
    """Gives one input after the other to the decoders."""

    def __init__(self) -> None:
        self._cases = [(name, decoder, _json(sample)) for name, (decoder, sample) in cases().items()]
        for name, decoder, sample in self._cases:
            decoder(sample)  # or the sample proves nothing
            assert not not_finite(decoder(sample)), name
        self.inputs = 0
        self.refused = 0
        self.wrong: list[str] = []

    def one(self, data: bytes) -> None:
        from reconciler_service.venues import VenueDataError

        chooser = Chooser(data)
        name, decoder, value = self._cases[chooser.below(len(self._cases))]
        for _ in range(1 + chooser.below(3)):
            value = changed(value, chooser)
        self.inputs += 1
        try:
            found = decoder(value)
        except VenueDataError:
            self.refused += 1
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.wrong.append(f"decoder: {name} ended with {type(error).__name__}: {error}, given {str(value)[:200]}")
        else:
            if not_finite(found):
                self.wrong.append(f"decoder: {name} returned a number that is none, given {str(value)[:200]}")

    def told(self, engine: str) -> str:
        told = {"engine": engine, "inputs": self.inputs, "refused": self.refused, "wrong": self.wrong[:20]}
        return json.dumps(told)


def with_atheris(seconds: float, seed: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["reconciler_service.venues"]):
        trial = Trial()
    until = time.monotonic() + seconds

    def one(data: bytes) -> None:
        trial.one(data)
        if time.monotonic() > until or len(trial.wrong) >= 20:
            print(trial.told("atheris"), flush=True)  # noqa: T201 - read by whoever started it
            os._exit(0)

    with tempfile.TemporaryDirectory() as corpus:
        arguments = [
            sys.argv[0],
            corpus,
            f"-seed={seed % 2**31 or 1}",
            "-verbosity=0",
            "-max_len=256",
            "-len_control=0",
        ]
        atheris.Setup(arguments, one)
        atheris.Fuzz()


def by_chance(seconds: float, seed: int) -> None:
    """Drawn from the seed."""
    trial, chance = Trial(), random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until and len(trial.wrong) < 20:
        trial.one(chance.randbytes(64))
    print(trial.told("random"), flush=True)  # noqa: T201 - read by whoever started it


async def decoders(run: Run, seconds: float, share: float) -> None:
    """Every venue decoder and the decimal rule, in a process of its own."""
    box = Box(run, "decoders", seconds, decoder_input=round(20_000 * share))
    command = ["-m", "tests.torture.decoders", "--seconds", f"{max(2.0, seconds):g}", "--seed", str(run.seed)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    out, err = await process.communicate()
    lines = [line for line in out.decode().splitlines() if line.startswith("{")]
    if not lines:
        run.wrong("decoders", [f"broken: {err.decode()[-500:]}"])
        return
    told = json.loads(lines[-1])
    run.count("decoder input", told["inputs"])
    run.say(f"decoders: {told['inputs']} inputs by {told['engine']}, {told['refused']} refused")
    run.wrong("decoders", told["wrong"])
    box.close()


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], prog="python -m tests.torture.decoders")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        by_chance(asked.seconds, asked.seed)
    else:
        with_atheris(asked.seconds, asked.seed)


if __name__ == "__main__":
    main()
