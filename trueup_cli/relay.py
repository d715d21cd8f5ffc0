"""`trueup relay`: every committed event onto a NATS JetStream, each once, in order, across restarts of everything.

Where it goes on is read back from the stream itself, so it keeps nothing: kill it at any moment, start it elsewhere, run
two at once so that one goes on when the other's machine is gone.
Positions and drifts are relayed side by side; each of the two is in the order of its revisions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any

import typer
from trueup.position.v1 import position_pb2
from trueup.types.v1 import drift_pb2

from grpckit.errors import Pruned, RpcError
from grpckit.json_form import dumps, to_json
from trueup_cli.failures import Failure
from trueup_cli.options import AfterRevision
from trueup_cli.output import note
from trueup_cli.session import Session, talks

try:
    from trueup_cli.jetstream import JetStreamError, Letter, Stream
except ModuleNotFoundError as missing:
    if missing.name != "nats":
        raise
    Stream = None  # type: ignore[assignment, misc]  # said when it is needed

app = typer.Typer(rich_markup_mode="markdown")

Url = Annotated[
    str, typer.Option("--nats-url", envvar="NATS_URL", help="The servers, comma separated; others can read options.")
]
Name = Annotated[str, typer.Option("--stream", help="The stream; it is made when there is none.")]
Prefix = Annotated[str, typer.Option("--prefix", help="What its subjects begin with.")]
Events = Annotated[int, typer.Option("--events", min=0, help="End after so many events; 0: never.")]

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")  # in one part of a subject


@app.command()
@talks
async def relay(
    session: Session,
    nats_url: Url = "nats://127.0.0.1:4222",
    stream: Name = "trueup",
    prefix: Prefix = "trueup",
    after_revision: AfterRevision = None,
    events: Events = 0,
) -> None:
    """Publish each committed event to NATS JetStream, once and in order, until Ctrl-C; across restarts of everything.

    Subjects are trueup.positions.ACCOUNT.TYPE and trueup.drifts.ACCOUNT.KIND, bodies the contract's PositionEvent and
    DriftEvent as JSON; the message id is the revision. It goes on after the last revision in the stream. Any number of
    them may run.

    Example: trueup relay --nats-url nats://127.0.0.1:4222
    """
    if Stream is None:
        raise Failure("this needs the NATS client: pip install 'trueup[nats]'")
    try:
        async with Stream(nats_url, stream, prefix, note) as target:
            await _relay(session, target, prefix, after_revision, events)
    except JetStreamError as error:
        raise Failure(str(error)) from None
    except Pruned as error:
        text = f"{error.message}: the stream is of another ledger, or a backup was restored; name another with --stream"
        raise Failure(text) from None


async def _relay(session: Session, target: Stream, prefix: str, after: int | None, most: int) -> None:
    """Relay both kinds until enough is stored, or for ever."""
    client, enough = session.client, asyncio.Event()
    target.after = await target.stored() if after is None else dict.fromkeys(("positions", "drifts"), after)
    stored = 0

    async def run(kind: str, begin: Any, letter: Callable[[str, Any], Letter]) -> None:
        nonlocal stored
        last = target.after.get(kind, 0)
        async with aclosing(_events(begin(last, on_reset=_reset), last)) as news:
            async for event in news:
                await target.publish(letter(prefix, event))
                _say(session, kind, event.revision)
                stored += 1
                if most and stored >= most:
                    enough.set()

    tasks = {
        asyncio.create_task(run("positions", client.follow_position_events, _of_position)),
        asyncio.create_task(run("drifts", client.follow_drift_events, _of_drift)),
        asyncio.create_task(enough.wait()),
    }
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _events(responses: Any, after: int) -> AsyncGenerator[Any, None]:
    async with aclosing(responses) as each:
        async for response in each:
            for event in response.events:
                if event.revision > after:  # a commit that came in parts and broke off comes again from its beginning
                    after = event.revision
                    yield event


def _of_position(prefix: str, event: position_pb2.PositionEvent) -> Letter:
    kind = position_pb2.PositionEventType.Name(event.type).removeprefix("POSITION_EVENT_TYPE_")
    return _letter(prefix, "positions", event.account, kind, event)


def _of_drift(prefix: str, event: drift_pb2.DriftEvent) -> Letter:
    kind = drift_pb2.DriftKind.Name(event.drift.kind).removeprefix("DRIFT_KIND_")
    return _letter(prefix, "drifts", event.drift.account, kind, event)


def _letter(prefix: str, kind: str, account: str, what: str, event: Any) -> Letter:
    # Of a subject's parts none may have dots, spaces or wildcards: main/desk is main_desk, * is _.
    subject = f"{prefix}.{kind}.{_FORBIDDEN.sub('_', account)}.{what.lower()}"
    return Letter(kind, event.revision, subject, dumps(to_json(event)))


def _say(session: Session, kind: str, revision: int) -> None:
    if session.out.is_json:
        session.out.json({"kind": kind, "revision": str(revision)})
    else:
        session.out.say(f"{kind} revision {revision}")


def _reset(error: RpcError, revision: int) -> None:
    note(f"the stream was cut off ({error.message or error.code.name}): going on after revision {revision}")
