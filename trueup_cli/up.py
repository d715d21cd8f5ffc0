"""`trueup up`: the pair as one thing, for development and for a first look."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from trueup.position.v1 import access_service_pb2, position_service_pb2, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2, reconciler_service_pb2_grpc

from grpckit import channel
from grpckit import log as logs
from grpckit.errors import StartupError
from grpckit.listen import Listen, why_not
from grpckit.rest.server import HttpServer
from grpckit.rest.upstream import Upstream
from grpckit.secret_file import secret_of
from grpckit.tls import certificate, channel_credentials, http_context
from position_service.embedded import default_folder
from position_service.keys.secrets import ROOT_KEY_FILE
from position_service.settings import PositionSettings
from reconciler_service.page import desk_page
from reconciler_service.settings import ReconcilerSettings
from trueup_cli.children import Child
from trueup_cli.dial import dial
from trueup_cli.pasted import Access
from trueup_cli.screen import Screen
from trueup_cli.simulated import STORY, Venues, open_book
from trueup_cli.words import counted

POSITION_SERVICES = (
    position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
    reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
)
RECONCILER_SERVICES = (reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"],)
HTTP_LISTEN = "127.0.0.1:8000"
HTTP_GRACE_S = 2.0


async def up(db_path: Path | None, spacing_s: float, log_folder: Path | None, *, once: bool) -> None:
    """Run until interrupted, or with ``once`` until the story is told. Raises StartupError.

    Without a ``log_folder`` the logs are kept only where it does not end in order, because then they are wanted.
    """
    stop = _interrupted()
    logs.configure("WARNING", "auto")  # the screen is for the story; the services have logs of their own
    async with contextlib.AsyncExitStack() as stack:
        pair = Pair(db_path, log_folder, stack)
        running = asyncio.create_task(pair.run(spacing_s, once=once))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if running.done():
            running.result()
        else:
            pair.screen.say("stopping: calls finish, the queue is committed, the database is shut down")
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    pair.screen.say("stopped")


def _interrupted() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM, or the end of the terminal: the services would outlive it, and keep their ports."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


class Pair:
    """Everything that `trueup up` starts; the stack stops it in reverse order."""

    def __init__(self, db_path: Path | None, log_folder: Path | None, stack: contextlib.AsyncExitStack) -> None:
        self.screen = Screen()
        self._stack = stack
        self._position = PositionSettings.load()
        self._reconciler = ReconcilerSettings.load()
        venues = {account.venue for account in self._reconciler.all_accounts}
        self._live = " and ".join(sorted(venue.title() for venue in venues))  # empty: everything is simulated
        self._folder = db_path or self._position.db_path
        self._log_folder = log_folder
        self._edge: HttpServer | None = None
        self._root = ""  # the key that we call with, where one is needed
        self._is_passing = False  # whether the database is deleted at the end

    async def run(self, spacing_s: float, *, once: bool) -> None:
        """Start it all, tell the story, show the drifts."""
        screen = self.screen
        position = self._position.position_listen
        reconciler = self._reconciler.reconciler_listen
        _ensure_free(position, reconciler)
        secured = {"AUTH": "required"} if self._position.keys_required(position, reconciler) else {}
        http = await self._http(position, reconciler)  # first: a port that is taken should not be news at the end
        database = self._database()
        commands = self._access(database, secured=bool(secured)).lines(
            position=Listen.parse(position).dial(), reconciler=Listen.parse(reconciler).dial(), http=http
        )
        screen.banner(commands, simulated=not self._live, venue=self._live)
        settings = {"POSITION_ADDRESS": position} | secured
        logs = self._logs()
        venues = None if self._live else Venues(self._stack, screen.say)
        if venues is not None:
            await venues.start(logs)
            settings |= venues.settings
        children = [await self._child("position_service", position, logs, database | secured)]
        if secured:
            settings |= self._key(database)
        screen.say(f"Position service at {position}, its log: {children[0].log_file}")
        if folder := database.get("DB_PATH"):
            screen.say(f"its database: {folder}" + (", gone when this ends" if self._is_passing else ""))
        if venues is not None:
            count = await open_book(position, coins=True, key=self._root)
            screen.say(f"the book holds the {count} positions that the venues begin with")
        children.append(await self._child("reconciler_service", reconciler, logs, settings))
        screen.say(f"Reconciler at {reconciler}, its log: {children[1].log_file}")
        if self._edge is not None:
            self._stack.push_async_callback(self._edge.stop, HTTP_GRACE_S)  # before the services it calls
            scheme = "http" if self._position.tls_cert_file is None else "https"
            screen.say(f"the page at {scheme}://{http}/, the API at {scheme}://{http}/docs")
        await self._first_run(reconciler)
        told = asyncio.create_task(self._tell(venues, spacing_s))
        shown = asyncio.create_task(self._show(reconciler, until_told=once))
        kept = [asyncio.create_task(child.kept_up(screen.say)) for child in children]
        try:
            done, _ = await asyncio.wait({shown, *kept}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (told, shown, *kept):
                task.cancel()
            await asyncio.gather(told, shown, *kept, return_exceptions=True)

    async def _child(self, module: str, address: str, logs: Path, settings: dict[str, str]) -> Child:
        child = Child(module, address, logs)
        self._stack.push_async_callback(child.stop)
        await child.start({"HTTP_LISTEN": "off"} | settings)  # one edge serves both
        return child

    async def _http(self, position: str, reconciler: str) -> str:
        """Serve HTTP for both services. Returns the address, empty when HTTP_LISTEN is off."""
        asked = self._position.http_listen
        listen = asked if "http_listen" in self._position.model_fields_set else HTTP_LISTEN
        if not listen:
            return ""
        served, credentials = certificate(self._position), channel_credentials(self._position)
        if served is not None and credentials is None:
            raise StartupError("TLS_CERT_FILE without TLS_CA_FILE: the services could not be called from here")
        upstreams = [
            Upstream(Listen.parse(position).dial(), POSITION_SERVICES, credentials),
            Upstream(Listen.parse(reconciler).dial(), RECONCILER_SERVICES, credentials),
        ]
        self._edge = HttpServer(
            listen,
            upstreams,
            title="trueup",
            cors_origins=self._position.cors_origins,
            hosts=self._position.hosts,
            tls=http_context(served),
            insecure=self._position.insecure,
            drain_wait_s=0.0,
            own_pages=desk_page(),
        )
        port = await self._edge.start()
        self._stack.push_async_callback(self._edge.stop, HTTP_GRACE_S)
        return Listen.parse(listen).dial(port)

    def _logs(self) -> Path:
        """The folder that was asked for, else one that goes when all ends in order."""
        if self._log_folder is not None:
            self._log_folder.mkdir(parents=True, exist_ok=True)
            return self._log_folder
        folder = Path(tempfile.mkdtemp(prefix="trueup-logs-"))

        def remove(_: object, error: BaseException | None, __: object) -> None:
            if error is None:
                shutil.rmtree(folder, ignore_errors=True)

        self._stack.push(remove)
        return folder

    def _key(self, database: dict[str, str]) -> dict[str, str]:
        """Take the root key for ourselves. Returns what the Reconciler calls with, unless it was told."""
        file = self._key_file(database)
        if file != self._position.root_key_file:
            self.screen.say(f"API keys are needed: TRUEUP_KEY_FILE={file} may do everything")
        self._root = secret_of(self._position.root_key, file, "ROOT_KEY")
        if self._reconciler.position_key or self._reconciler.position_key_file is not None:
            return {}
        if not self._root:
            raise StartupError("API keys are needed: set ROOT_KEY_FILE, or POSITION_KEY_FILE for the Reconciler")
        return {"POSITION_KEY": self._root} if file is None else {"POSITION_KEY_FILE": str(file.absolute())}

    def _key_file(self, database: dict[str, str]) -> Path | None:
        """Where the root key is: in the file that was named, else in that of the embedded database, unless it was told."""
        position = self._position
        if position.root_key or position.root_key_file is not None or position.database_url is not None:
            return position.root_key_file
        return Path(database.get("DB_PATH") or default_folder()).expanduser() / ROOT_KEY_FILE

    def _access(self, database: dict[str, str], *, secured: bool) -> Access:
        """What the services that start here ask of their callers."""
        position, own = self._position, (self._position.tls_client_cert_file, self._position.tls_client_key_file)
        listens = (position.position_listen, self._reconciler.reconciler_listen)
        return Access(
            ca=None if position.tls_cert_file is None else position.tls_ca_file,
            certificate=None if own[0] is None or own[1] is None else (own[0], own[1]),
            wants_key=secured,
            key_file=self._key_file(database) if secured else None,
            reflects=all(Listen.parse(one).loopback for one in listens)
            if position.reflect is None
            else position.reflect,
        )

    def _database(self) -> dict[str, str]:
        """Where the Position service keeps its data: what was asked for, else simulated data in a folder of its own."""
        if self._folder is not None:
            return {"DB_PATH": str(self._folder)}
        if self._position.database_url is not None or self._live:
            return {}
        folder = Path(tempfile.mkdtemp(prefix="trueup-simulated-"))
        folder.chmod(0o711)  # as root the database runs as a user of its own
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._is_passing = True
        return {"DB_PATH": str(folder)}

    async def _first_run(self, reconciler: str) -> None:
        """Show what the first cycle found, so that everybody knows where the story starts."""
        async with dial(reconciler, key=self._root) as to:
            stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(to)
            done = await stub.Reconcile(reconciler_service_pb2.ReconcileRequest(), timeout=60)
        runs = (done.run, *done.other_runs)
        checks = [check for run in runs for check in run.checks]
        self.screen.say(
            f"reconciled: {counted(sum(run.positions_compared for run in runs), 'position')} compared, "
            f"{counted(sum(run.confirmed for run in runs), 'drift')}, "
            f"{sum(not check.error for check in checks)} of {len(checks)} venue scopes read"
        )
        for check in checks:
            if check.error:
                self.screen.say(f"{check.venue} could not be read: {check.error}")

    async def _tell(self, venues: Venues | None, spacing_s: float) -> None:
        if venues is not None:
            async for caption in venues.tell(spacing_s):
                self.screen.at_venue(caption)

    async def _show(self, reconciler: str, *, until_told: bool) -> None:
        """Print drift events as they are streamed, for ever or until the story is told."""
        seen: set[str] = set()
        async with dial(reconciler, key=self._root) as to:
            stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(to)
            async for message in _drifts(stub):
                for event in message.events:
                    self.screen.drift(event)
                    seen.add(event.drift.symbol)
                if until_told and seen >= STORY:
                    return


def _ensure_free(*addresses: str) -> None:
    """Raise StartupError unless every address can be listened on.

    Before anything starts: a service of somebody else at one of them would pass for ours, and its book for our own.
    """
    for address in addresses:
        if problem := why_not(Listen.parse(address)):
            raise StartupError(f"cannot listen on {address}: {problem}")


async def _drifts(
    stub: reconciler_service_pb2_grpc.ReconcilerServiceStub,
) -> AsyncIterator[reconciler_service_pb2.StreamDriftEventsResponse]:
    """Open cases first, then every event, across restarts of either service."""
    request = reconciler_service_pb2.StreamDriftEventsRequest
    stream = channel.follow(
        lambda after: stub.StreamDriftEvents(request(after_revision=after, include_open=not after)), 0
    )
    async with contextlib.aclosing(stream):
        async for message in stream:
            yield message
