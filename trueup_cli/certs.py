"""`trueup certs`: certificates for TLS where there is no authority yet."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from grpckit.errors import StartupError
from trueup_cli import failures
from trueup_cli.failures import Failure
from trueup_cli.output import Output
from trueup_cli.session import Json

app = typer.Typer(rich_markup_mode="markdown", name="certs", no_args_is_help=True)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@app.callback()
def certs() -> None:
    """Make certificates for TLS and mTLS where there is no authority yet."""


@app.command()
def dev(
    folder: Annotated[Path, typer.Option("--folder", help="Where to; made when it is not there.")] = Path("certs"),
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A name or address of the services; may be given again.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the certificates are valid.")] = 397,
    json_: Json = None,
) -> None:
    """Make a CA, a server and a client certificate; called again, new certificates of the same CA.

    Services take the new ones without a restart. The server certificate is good for this machine's name and loopback,
    and for each --host.

    Example: trueup certs dev --folder certs --host trueup.internal
    """
    from trueup_cli.dev_ca import CA, CLIENT, SERVER, DevCa  # noqa: PLC0415 - takes its time; --help need not wait

    try:
        ca = DevCa(folder)
        made = ca.ensure()
        ca.issue(SERVER, "trueup", [*(host or ()), *_LOOPBACK, socket.gethostname()], days=days)
        ca.issue(CLIENT, "trueup client", days=days)
    except OSError as error:
        _fail(f"cannot write to {folder}: {error.strerror}")
    except (Failure, StartupError, ValueError) as error:
        _fail(str(error))
    out = Output(is_json=json_)
    files = {
        "TLS_CERT_FILE": f"{SERVER}.pem",
        "TLS_KEY_FILE": f"{SERVER}.key",
        "TLS_CA_FILE": f"{CA}.pem",
        "TLS_CLIENT_CA_FILE": f"{CA}.pem",
        "TLS_CLIENT_CERT_FILE": f"{CLIENT}.pem",
        "TLS_CLIENT_KEY_FILE": f"{CLIENT}.key",
    }
    paths = {name: str((folder / file).absolute()) for name, file in files.items()}
    if out.is_json:
        out.json({"made_ca": made, **paths})
        return
    out.say("a new CA, a server and a client certificate:" if made else "new certificates of the same CA:")
    for name, path in paths.items():
        out.say(f"{name}={path}")


def _fail(text: str) -> None:
    typer.secho(f"error: {text}", fg=typer.colors.RED, err=True)
    raise typer.Exit(failures.REFUSED)
