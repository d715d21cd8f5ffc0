"""`trueup simulate`: something happens at a SIMULATED venue, and the book does not hear of it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import aiohttp
import typer
from rich.text import Text

from reconciler_service.simulator.faults import Kind
from trueup_cli.failures import UNREACHABLE, Failure
from trueup_cli.options import MarginMode, TakesAmounts
from trueup_cli.output import Output
from trueup_cli.session import Json, run
from trueup_cli.settings import SIMULATOR_URL

app = typer.Typer(
    name="simulate",
    help="Make something happen at a SIMULATED venue: the one of `trueup up`, or of SIMULATOR_URL.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_URLS = {"hyperliquid": SIMULATOR_URL, "coinbase": "http://127.0.0.1:8101"}
_OF_A_FILL = ("coin", "product_id", "dir", "side", "sz", "size", "px", "price", "fee", "commission")


class VenueName(StrEnum):
    """The venues that there is a simulator of."""

    HYPERLIQUID = "hyperliquid"
    COINBASE = "coinbase"


class Way(StrEnum):
    """Which way a trade goes."""

    BUY = "buy"
    SELL = "sell"


Url = Annotated[str, typer.Option("--url", envvar="SIMULATOR_URL", help="Where the simulator listens.")]
At = Annotated[VenueName, typer.Option("--venue", help="Which one it is.")]
Coin = Annotated[str, typer.Argument(help="The venue's name of the instrument, e.g. BTC or BTC-USD.")]
Price = Annotated[str, typer.Option("--price", help="The mark when left out.")]


@app.command(cls=TakesAmounts)
def trade(
    coin: Coin,
    way: Annotated[Way, typer.Argument(help="buy or sell.")],
    size: Annotated[str, typer.Argument(help="In base units.")],
    price: Price = "",
    venue: At = VenueName.HYPERLIQUID,
    url: Url = "",
    json_: Json = None,
) -> None:
    """Trade at the venue; the fill never reaches the book.

    Example: trueup simulate trade BTC buy 0.1
    """
    _control(venue, url, "trade", json_, _named(venue, coin) | {"side": way.value, "size": size, "price": price})


@app.command()
def close(coin: Coin, price: Price = "", venue: At = VenueName.HYPERLIQUID, url: Url = "", json_: Json = None) -> None:
    """Close what the venue holds, as somebody does in its own app.

    Example: trueup simulate close SOL
    """
    _control(venue, url, "close", json_, _named(venue, coin) | {"price": price})


@app.command()
def liquidate(
    coin: Coin, price: Price = "", venue: At = VenueName.HYPERLIQUID, url: Url = "", json_: Json = None
) -> None:
    """Let the venue's risk engine take the position.

    Example: trueup simulate liquidate ETH
    """
    _control(venue, url, "liquidate", json_, _named(venue, coin) | {"price": price})


@app.command(cls=TakesAmounts)
def leverage(
    coin: Coin,
    value: Annotated[int, typer.Argument(min=1)],
    mode: Annotated[MarginMode, typer.Option("--mode")] = MarginMode.CROSS,
    venue: At = VenueName.HYPERLIQUID,
    url: Url = "",
    json_: Json = None,
) -> None:
    """Set leverage and margin mode at the venue.

    Example: trueup simulate leverage HYPE 10
    """
    _control(venue, url, "leverage", json_, _named(venue, coin) | {"value": value, "mode": mode.value})


@app.command(cls=TakesAmounts)
def mark(
    coin: Coin,
    price: Annotated[str, typer.Argument(help="In quote currency.")],
    venue: At = VenueName.HYPERLIQUID,
    url: Url = "",
    json_: Json = None,
) -> None:
    """Put the mark price somewhere.

    Example: trueup simulate mark BTC 39000
    """
    _control(venue, url, "mark", json_, _named(venue, coin) | {"price": price})


@app.command()
def fault(
    kind: Annotated[Kind, typer.Argument(help="What goes wrong.")],
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only answers of this type; again for more.")
    ] = None,
    dex: Annotated[str | None, typer.Option("--dex", help="Only this dex; empty: the main one.")] = None,
    coin: Annotated[str, typer.Option("--coin", help="Of fills: only this instrument's.")] = "",
    count: Annotated[int | None, typer.Option("--count", min=1, help="So many answers; until cleared.")] = None,
    percent: Annotated[int | None, typer.Option("--percent", min=1, max=100, help="Share of the answers.")] = None,
    delay: Annotated[str, typer.Option("--delay", help="Seconds, of slow and late_fills.")] = "",
    skew_ms: Annotated[int | None, typer.Option("--skew-ms", help="Milliseconds, of clock_skew.")] = None,
    venue: At = VenueName.HYPERLIQUID,
    url: Url = "",
    json_: Json = None,
) -> None:
    """Let the venue answer wrongly, late or not at all, until it is cleared.

    Example: trueup simulate fault http_500 --count 3
    """
    given = {"kind": kind.value, "types": type_, "dex": dex, "coin": coin, "count": count, "percent": percent}
    _control(venue, url, "fault", json_, given | {"delay_s": delay, "skew_ms": skew_ms}, kept=("dex",))


@app.command()
def clear(
    ident: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="Of one fault; all of them when left out.")
    ] = None,
    venue: At = VenueName.HYPERLIQUID,
    url: Url = "",
    json_: Json = None,
) -> None:
    """End a fault, or all of them.

    Example: trueup simulate clear
    """
    _control(venue, url, "faults/clear", json_, {"id": ident})


@app.command()
def state(venue: At = VenueName.HYPERLIQUID, url: Url = "", json_: Json = None) -> None:
    """Show what the venue truly holds, its marks, and which faults are in force.

    Example: trueup simulate state
    """
    _control(venue, url, "state", json_, None)


def _named(venue: VenueName, coin: str) -> dict[str, Any]:
    return {"product" if venue is VenueName.COINBASE else "coin": coin}


def _control(
    venue: VenueName,
    url: str,
    operation: str,
    is_json: bool | None,
    given: dict[str, Any] | None,
    kept: tuple[str, ...] = (),
) -> None:
    """One call of the simulator's own control API; what was not given is left out. Without a body it is a GET."""
    base = (url or _URLS[venue.value]).rstrip("/")
    body = given and {name: value for name, value in given.items() if value or (name in kept and value is not None)}

    async def talk() -> None:
        out = Output(is_json=is_json)
        text = await _asked(f"{base}/control/{operation}", body, base)
        out.line(text) if out.is_json else _show(out, json.loads(text, parse_float=str))

    run(talk)


async def _asked(address: str, body: dict[str, Any] | None, base: str) -> str:
    """The answer, JSON on one line. Raises Failure for a refusal, and for whatever is no simulator."""
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            method = "GET" if body is None else "POST"
            async with http.request(method, address, json=body, allow_redirects=False) as response:
                text = await response.text()
                status = response.status
    except aiohttp.InvalidURL:
        raise Failure(f"{base} is not a URL: set SIMULATOR_URL, e.g. http://127.0.0.1:8100") from None
    except (TimeoutError, aiohttp.ClientError, OSError):
        todo = "`trueup up` says where its simulator is: set SIMULATOR_URL"
        raise Failure(f"no simulated venue answers at {base}: {todo}", UNREACHABLE) from None
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not answer.get("simulated"):
        raise Failure(f"{base} is no simulated venue, or one without this control (HTTP {status})")
    if status != 200:
        raise Failure(f"the simulated venue refused: {answer.get('error', status)}")
    return text.strip()


def _show(out: Output, answer: dict[str, Any]) -> None:
    """Names and values; lists of objects as tables."""
    plain = {name: value for name, value in answer.items() if not isinstance(value, (list, dict))}
    out.fields((name, Text(str(value))) for name, value in plain.items() if name != "simulated")
    for name, value in answer.items():
        if name == "accounts":
            _show_accounts(out, value)
        elif isinstance(value, dict) and value:
            out.say(f"{name}: " + ", ".join(f"{key} {each}" for key, each in value.items()))
        elif isinstance(value, list) and value:
            out.say(f"{name}:")
            columns = [key for key in value[0] if name != "fills" or key in _OF_A_FILL]
            out.table(columns, [[str(row.get(key, "")) for key in columns] for row in value])


def _show_accounts(out: Output, accounts: list[dict[str, Any]]) -> None:
    for account in accounts:
        held = [
            each["position"] | {"dex": dex or "main"}
            for dex, said in account.get("dexes", {}).items()
            for each in said["assetPositions"]
        ]
        out.say(f"account {account.get('address', account.get('currency', ''))}")
        columns = ("dex", "coin", "szi", "entryPx", "positionValue", "liquidationPx")
        if held:
            out.table(columns, [[str(row.get(key, "")) for key in columns] for row in held])
