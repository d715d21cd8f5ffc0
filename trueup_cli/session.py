"""One command's conversation with the services: addresses, output, errors."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Concatenate, ParamSpec, Self, get_type_hints

import typer

from grpckit.errors import RpcError, StartupError
from trueup_cli import failures
from trueup_cli.calling import api_key, position_address, reconciler_address, tls_files
from trueup_cli.client import Client, Unreachable
from trueup_cli.failures import Failure
from trueup_cli.output import Output

P = ParamSpec("P")

_TIMEOUT_S = 60.0  # a reconciliation may take a while


class Session:
    """What a command works with; addresses that are empty are those of the settings. Close it by leaving ``async with``.

    Raises StartupError.
    """

    def __init__(self, position: str, reconciler: str, *, is_json: bool | None) -> None:
        self.position_address, self.reconciler_address = position_address(position), reconciler_address(reconciler)
        files, key = tls_files(), api_key()  # the client looks for neither, since it is given addresses
        self.credentials, self.has_key = None if files is None else files.credentials, bool(key())
        self.client = Client(self.position_address, self.reconciler_address, files=files, key=key, timeout_s=_TIMEOUT_S)
        self.out = Output(is_json=is_json)
        self.request_id = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    def writes(self, request_id: str) -> str:
        """The id of the write that comes next: what makes it safe to repeat, and what an error has to say."""
        self.request_id = request_id or f"cli-{uuid.uuid4()}"
        return self.request_id

    def variable_of(self, error: RpcError) -> str:
        """The setting that says where the service is whose error this is."""
        at_reconciler = isinstance(error, Unreachable) and error.address == self.reconciler_address
        return "RECONCILER_ADDRESS" if at_reconciler else "POSITION_ADDRESS"


Json = Annotated[
    bool | None,
    typer.Option("--json/--table", help="A JSON object a line, or a table. By default a table on a terminal only."),
]
Address = Annotated[str, typer.Option("--position-address", help="The Position service; POSITION_ADDRESS.")]
Reconciler = Annotated[str, typer.Option("--reconciler-address", help="The Reconciler; RECONCILER_ADDRESS.")]

_COMMON = (
    inspect.Parameter("json_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Json),
    inspect.Parameter("position_address", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Address),
    inspect.Parameter("reconciler_address", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Reconciler),
)


def talks(work: Callable[Concatenate[Session, P], Awaitable[int | None]]) -> Callable[..., None]:
    """Makes a command of a coroutine: it gets a session, the command the options every one has.

    What the coroutine returns is the exit code, None for 0. Errors become one line on standard error.
    """
    hints = get_type_hints(work, include_extras=True)
    own = list(inspect.signature(work).parameters.values())[1:]
    parameters = [*(each.replace(annotation=hints[each.name]) for each in own), *_COMMON]

    def command(**given: Any) -> None:
        is_json = given.pop("json_")
        position, reconciler = given.pop("position_address"), given.pop("reconciler_address")

        async def talk() -> int | None:
            async with Session(position, reconciler, is_json=is_json) as session:
                try:
                    return await work(session, **given)  # type: ignore[call-arg]  # typer gives what is declared
                except RpcError as error:
                    told = failures.describe(error, variable=session.variable_of(error), request_id=session.request_id)
                    raise Failure(told, failures.exit_code(error)) from None

        run(talk)

    command.__doc__ = work.__doc__
    command.__name__ = work.__name__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def run(talk: Callable[[], Awaitable[int | None]]) -> None:
    """Runs a coroutine to its end. Raises typer.Exit with its exit code; a Failure is printed first."""

    async def main() -> int:
        return await talk() or failures.DONE

    try:
        code = asyncio.run(main())
    except (Failure, StartupError) as failure:
        typer.secho(f"error: {failure}", fg=typer.colors.RED, err=True)
        code = failure.code if isinstance(failure, Failure) else failures.REFUSED
    raise typer.Exit(code)
