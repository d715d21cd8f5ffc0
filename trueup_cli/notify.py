"""`trueup notify`: a subscriber like any other, that posts what it hears to a webhook."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import stamina.instrumentation
import typer
from trueup.reconciler.v1 import reconciler_service_pb2 as rpb
from trueup.types.v1 import drift_pb2 as pb
from trueup.types.v1 import types_pb2

from grpckit.errors import RpcError
from trueup_cli import message
from trueup_cli.failures import USAGE, Failure
from trueup_cli.message import Format, Write
from trueup_cli.options import Account, Symbol, Venue
from trueup_cli.output import note
from trueup_cli.session import Session, talks
from trueup_cli.told import Told
from trueup_cli.watching import Events, going_on
from trueup_cli.webhook import Webhook, webhook_url

app = typer.Typer(rich_markup_mode="markdown")


class Severity(StrEnum):
    """How much a drift matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Step(StrEnum):
    """What happens to a case."""

    CONFIRMED = "confirmed"
    CHANGED = "changed"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    REOPENED = "reopened"
    RESOLVED = "resolved"


_STEPS = (Step.CONFIRMED, Step.CHANGED, Step.REOPENED, Step.RESOLVED)
_KINDS = {name.removeprefix("DRIFT_KIND_").lower().replace("_", "-"): name for name in pb.DriftKind.keys()[1:]}

Url = Annotated[
    str,
    typer.Option(
        "--url", envvar="TRUEUP_NOTIFY_URL", help="Where to. Of options everybody on the machine can read it."
    ),
]
Form = Annotated[Format, typer.Option("--format", help="What the webhook understands.")]
ChatId = Annotated[str, typer.Option("--chat-id", help="With --format telegram: the chat.")]
Body = Annotated[
    Path | None, typer.Option("--template", help="Instead of a format: a JSON text with ${summary} and the like.")
]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", help=f"Only this kind; may be given again. {', '.join(_KINDS)}.")
]
Least = Annotated[Severity, typer.Option("--min-severity", help="Nothing below it.")]
Steps = Annotated[
    list[Step] | None,
    typer.Option("--event", help=f"Only this event; may be given again. When left out: {', '.join(_STEPS)}."),
]
State = Annotated[
    Path | None, typer.Option("--state", help="A file that keeps how far it is, to go on from there after a restart.")
]
IncludeOpen = Annotated[
    bool, typer.Option("--include-open", help="Begin with the open cases, unless the state says where to go on.")
]
InsecureHttp = Annotated[bool, typer.Option("--insecure-http", help="Allow http to other machines.")]


@app.command()
@talks
async def notify(
    session: Session,
    url: Url = "",
    form: Form = Format.JSON,
    chat_id: ChatId = "",
    template: Body = None,
    kind: Kinds = None,
    min_severity: Least = Severity.INFO,
    event: Steps = None,
    account: Account = "",
    venue: Venue = "",
    symbol: Symbol = "",
    state: State = None,
    include_open: IncludeOpen = False,
    insecure_http: InsecureHttp = False,
    events: Events = 0,
) -> None:
    """Post each drift event to a webhook, in order and at least once, until Ctrl-C; across restarts of everything.

    An event is done when the webhook answers 2xx. 429, 5xx and silence are tried again for ever; what is refused with
    another status is told on standard error, and skipped.

    Example: trueup notify --format slack --min-severity warning --state notify.json
    """
    where = webhook_url(url.strip(), insecure_http=insecure_http)
    write = _writer(form, chat_id, template)
    request = rpb.StreamDriftEventsRequest(account=account, venue=venue, symbol=symbol, kinds=_kinds(kind or ()))
    types = {pb.DriftEventType.Value(f"DRIFT_EVENT_TYPE_{step.name}") for step in event or _STEPS}
    least = pb.DriftSeverity.Value(f"DRIFT_SEVERITY_{min_severity.name}")
    told = Told(state)
    stamina.instrumentation.set_on_retry_hooks(())  # they would write to standard output
    await session.client.reconciler.ListVenues(rpb.ListVenuesRequest())  # a wrong address ends here
    delivered = 0
    async with Webhook(where) as webhook, aclosing(_news(session, request, told, include_open=include_open)) as news:
        async for each in news:
            if each.type in types and each.drift.severity >= least:
                delivered += await _deliver(session, webhook, write(each), each)
                told.move(each.revision)
            if events and delivered >= events:
                return


async def _news(
    session: Session, request: rpb.StreamDriftEventsRequest, told: Told, *, include_open: bool
) -> AsyncGenerator[pb.DriftEvent, None]:
    """Events that were not told yet. A snapshot is held until it is whole: one that is cut off comes anew."""
    if told.revision is not None:
        request.after_revision = told.revision
    else:
        request.include_open = include_open
    held: list[pb.DriftEvent] = []

    def on_reset(error: RpcError, revision: int) -> None:
        held.clear()
        if error.reason == "REVISION_IN_FUTURE":
            told.move(0)  # a backup was restored: revisions are those of another ledger
        note(going_on(error, revision))

    async with aclosing(session.client.follow_drifts(request, on_reset=on_reset)) as responses:
        async for response in responses:
            held.extend(response.events)
            if response.phase == types_pb2.STREAM_PHASE_SNAPSHOT and not response.snapshot_end:
                continue
            for event in held:  # in the order of their revisions, in a snapshot too
                if event.revision > (told.revision or 0):
                    yield event
            held.clear()
            told.move(max(response.revision, told.revision or 0))


async def _deliver(session: Session, webhook: Webhook, body: bytes, event: pb.DriftEvent) -> bool:
    status = await webhook.post(body)
    if not 200 <= status < 300:
        note(f"the webhook refused revision {event.revision} with {status}: it is skipped")
        return False
    if session.out.is_json:
        found: dict[str, object] = {"revision": str(event.revision), "drift_id": event.drift.drift_id}
        session.out.json(found | {"type": pb.DriftEventType.Name(event.type), "status": status})
    else:
        session.out.say(f"delivered revision {event.revision}: {message.headline(event)}")
    return True


def _writer(form: Format, chat_id: str, template: Path | None) -> Write:
    if (form is Format.TELEGRAM) != bool(chat_id):
        raise Failure("--format telegram and --chat-id go together", USAGE)
    if template is None:
        return message.writer(form, chat_id)
    try:
        source = template.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot read {template}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read {template}: it is not UTF-8") from None
    return message.from_template(source)


def _kinds(names: Iterable[str]) -> list[str]:
    """The contract's names of kinds. Raises Failure."""
    for name in names:
        if name not in _KINDS:
            raise Failure(f"--kind: {name!r} is none of {', '.join(_KINDS)}", USAGE)
    return [_KINDS[name] for name in names]
