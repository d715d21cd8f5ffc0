"""`trueup keys`: who may call the services, and what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import access_service_pb2 as pb
from trueup.types.v1 import rules_pb2

from grpckit.secret_file import write_private
from trueup_cli.client import pages
from trueup_cli.failures import USAGE, Failure
from trueup_cli.listing import show
from trueup_cli.output import Output, note
from trueup_cli.session import Session, talks

app = typer.Typer(rich_markup_mode="markdown", name="keys", no_args_is_help=True)

SCOPES = {
    name.removeprefix("SCOPE_").lower(): number
    for name, number in rules_pb2.Scope.items()
    if number != rules_pb2.SCOPE_UNSPECIFIED
}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EVERY = "*"

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Which key; trueup keys list shows them.")]
ToFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the key to this new file, mode 0600, instead of showing it."),
]


@app.callback()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@app.command()
@talks
async def create(
    session: Session,
    name: Annotated[str, typer.Option("--name", help="Who will call with it; stands in what it changes.")],
    scopes: Annotated[
        str, typer.Option("--scopes", help="What it may do: read, write, drift, admin; comma separated.")
    ],
    accounts: Annotated[str, typer.Option("--accounts", help="Accounts it may see, comma separated; * for every one.")],
    expires: Annotated[str, typer.Option("--expires", help="How long it is valid, e.g. 90d; else until revoked.")] = "",
    output: ToFile = None,
) -> None:
    """Make a key. It is shown once, and stored nowhere.

    Called with a key of the admin scope; the first is made with the root key.

    Example: trueup keys create --name bot-1 --scopes read,write --accounts main --expires 90d
    """
    wanted = [SCOPES.get(scope, 0) for scope in _listed(scopes)]
    if not all(wanted):
        raise Failure(f"--scopes: {scopes!r} is not a list of {', '.join(SCOPES)}", USAGE)
    request = pb.CreateKeyRequest(
        name=name,
        scopes=wanted,  # type: ignore[arg-type]
        accounts=() if accounts == _EVERY else _listed(accounts),
        every_account=accounts == _EVERY,
    )
    if expires:
        at = Timestamp()
        at.FromDatetime(datetime.now(UTC) + _duration(expires, "--expires"))
        request.expires_at.CopyFrom(at)
    _require_new(output)
    _hand_over(session.out, await session.client.access.CreateKey(request), output)


@app.command("list")
@talks
async def list_(
    session: Session,
    ended: Annotated[bool, typer.Option("--ended", help="Those that are revoked or expired as well.")] = False,
) -> None:
    """List keys: who may do what, until when. Never the keys themselves.

    Example: trueup keys list --ended
    """
    rows = pages(session.client.access.ListKeys, pb.ListKeysRequest(include_ended=ended))
    await show(session.out, rows, _table)


@app.command()
@talks
async def rotate(
    session: Session,
    key_id: KeyId,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old one stays valid, at most 30d.")] = "24h",
    output: ToFile = None,
) -> None:
    """Make a new secret for a key. The old one stays valid for a while, so that nothing stands still.

    After a theft: --overlap 0s ends the old one at once, and the streams that it opened within 30 seconds.

    Example: trueup keys rotate mztgk4dbonua --overlap 1h
    """
    overlap_ms = round(_duration(overlap, "--overlap").total_seconds() * 1_000)
    _require_new(output)
    made = await session.client.access.RotateKey(pb.RotateKeyRequest(key_id=key_id, overlap_ms=overlap_ms))
    _hand_over(session.out, made, output)


@app.command()
@talks
async def revoke(session: Session, key_id: KeyId) -> None:
    """End a key for good: calls with it are refused, its open streams end within 30 seconds.

    Example: trueup keys revoke mztgk4dbonua
    """
    revoked = (await session.client.access.RevokeKey(pb.RevokeKeyRequest(key_id=key_id))).api_key
    if session.out.is_json:
        session.out.json(revoked)
    else:
        session.out.say(f"{revoked.name} ({revoked.key_id}) is revoked")


def _hand_over(out: Output, made: Any, output: Path | None) -> None:
    """Show the key, or put it where it was asked for."""
    if output is not None:
        try:
            write_private(output, made.key + "\n")
        except FileExistsError:
            raise Failure(
                f"{output} is there already: the key was made; rotate {made.api_key.key_id} for another"
            ) from None
    known = made.api_key
    if out.is_json:
        told: dict[str, object] = {"key_id": known.key_id}
        told |= {"file": str(output)} if output is not None else {"key": made.key}
        told |= {"name": known.name, "scopes": _scopes(known), "accounts": list(known.accounts) or [_EVERY]}
        expires = _time(known, "expires_at")
        out.json(told | ({"expires_at": expires} if expires else {}))
    elif output is not None:
        out.say(f"{known.name} ({known.key_id}): the key is in {output}")
    else:
        out.say(made.key)
        note(
            f"this is the key of {known.name} ({known.key_id}). It is shown this once; store it where nobody else reads"
        )


def _require_new(output: Path | None) -> None:
    """Before a key is made: afterwards it would be lost."""
    if output is not None and (output.exists() or not output.absolute().parent.is_dir()):
        why = "is there already" if output.exists() else "is in a folder that does not exist"
        raise Failure(f"--output: {output} {why}", USAGE)


def _table(out: Output, rows: Iterable[pb.ApiKey]) -> None:
    columns = ("key id", "name", "scopes", "accounts", "made", "by", "expires", "")
    out.table(
        columns,
        (
            (
                key.key_id,
                key.name,
                ",".join(_scopes(key)),
                ",".join(key.accounts) or _EVERY,
                _time(key, "created_at"),
                key.created_by,
                _time(key, "expires_at") or "-",
                _state(key),
            )
            for key in rows
        ),
    )


def _state(key: pb.ApiKey) -> str:
    if key.HasField("revoked_at"):
        return f"revoked {_time(key, 'revoked_at')} by {key.revoked_by}"
    if key.HasField("previous_until") and key.previous_until.ToDatetime(UTC) > datetime.now(UTC):
        return f"old secret valid until {_time(key, 'previous_until')}"
    return ""


def _scopes(key: pb.ApiKey) -> list[str]:
    return [name for name, number in SCOPES.items() if number in key.scopes]


def _time(key: pb.ApiKey, name: str) -> str:
    if not key.HasField(name):
        return ""
    at: datetime = getattr(key, name).ToDatetime(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _duration(text: str, option: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise Failure(f"{option}: {text!r} is not a duration, e.g. 90d, 24h, 30m", USAGE)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
