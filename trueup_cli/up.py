"""`trueup up`: the pair as one thing, for development and for a first look."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2, reconciler_service_pb2_grpc
from trueup.types.v1 import types_pb2

from grpckit import channel
from grpckit import log as logs
from grpckit.errors import StartupError
from grpckit.listen import Listen, why_not
from grpckit.rest.server import HttpServer
from grpckit.rest.upstream import Upstream
from position_service.settings import PositionSettings
from reconciler_service.page import desk_page
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import Mode
from reconciler_service.simulator.server import serve
from trueup_cli.children import Child
from trueup_cli.screen import Screen
from trueup_cli.settings import SIMULATOR_URL, CliSettings

POSITION_SERVICES = (
    position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
    reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
)
RECONCILER_SERVICES = (reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"],)
HTTP_LISTEN = "127.0.0.1:8000"
HTTP_GRACE_S = 2.0
SIMULATED_INTERVAL_S = "1"  # the venue pushes what changes there; this is for what a visitor changes in the book


async def up(db_path: Path | None, spacing_s: float, *, once: bool) -> None:
    """Run until interrupted, or with ``once`` until the story is told. Raises StartupError."""
    stop = _interrupted()
    logs.configure("WARNING", "auto")  # the screen is for the story; the services have logs of their own
    async with contextlib.AsyncExitStack() as stack:
        pair = Pair(db_path, stack)
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

    def __init__(self, db_path: Path | None, stack: contextlib.AsyncExitStack) -> None:
        self.screen = Screen()
        self._stack = stack
        self._position = PositionSettings.load()
        self._reconciler = ReconcilerSettings.load()
        self._simulated = not self._reconciler.hyperliquid_address
        self._folder = db_path or self._position.db_path
        self._logs = Path(tempfile.mkdtemp(prefix="trueup-logs-"))
        self._edge: HttpServer | None = None

    async def run(self, spacing_s: float, *, once: bool) -> None:
        """Start it all, tell the story, show the drifts."""
        screen = self.screen
        position = self._position.position_listen
        reconciler = self._reconciler.reconciler_listen
        _ensure_free(position, reconciler)
        http = await self._http(position, reconciler)  # first: a port that is taken should not be news at the end
        screen.banner(
            simulated=self._simulated, reconciler=reconciler, position=position, http=http, venue="Hyperliquid"
        )
        settings = {"POSITION_ADDRESS": position}
        exchange = None
        if self._simulated:
            exchange, url = await self._simulator()
            settings |= {
                "VENUES": "simulated",
                "HYPERLIQUID_API_URL": url,
                "HYPERLIQUID_WS_URL": "",  # the one beside it
                "HYPERLIQUID_KEY": scenario.DESK,
                # Real credentials have no place in a simulation, and would stop it for want of a simulated venue.
                "COINBASE_KEY": "",
                "COINBASE_SECRET": "",
                "COINBASE_KEY_FILE": "",
                "RECONCILIATION_INTERVAL": os.environ.get("RECONCILIATION_INTERVAL", SIMULATED_INTERVAL_S),
            }
        children = [await self._child("position_service", position, self._database())]
        screen.say(f"Position service at {position}, its log: {children[0].log_file}")
        if exchange is not None:
            await open_book(position)
            screen.say(f"the book holds {len(scenario.book())} positions, the venue the same ones")
        children.append(await self._child("reconciler_service", reconciler, settings))
        screen.say(f"Reconciler at {reconciler}, its log: {children[1].log_file}")
        if self._edge is not None:
            self._stack.push_async_callback(self._edge.stop, HTTP_GRACE_S)  # before the services it calls
            screen.say(f"the page at http://{http}/, the API at http://{http}/docs")
        await self._first_run(reconciler)
        told = asyncio.create_task(self._tell(exchange, spacing_s))
        shown = asyncio.create_task(self._show(reconciler, len(scenario.steps()) if once else None))
        kept = [asyncio.create_task(child.kept_up(screen.say)) for child in children]
        try:
            done, _ = await asyncio.wait({shown, *kept}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (told, shown, *kept):
                task.cancel()
            await asyncio.gather(told, shown, *kept, return_exceptions=True)

    async def _child(self, module: str, address: str, settings: dict[str, str]) -> Child:
        child = Child(module, address, self._logs)
        self._stack.push_async_callback(child.stop)
        await child.start({"HTTP_LISTEN": "off"} | settings)  # one edge serves both
        return child

    async def _http(self, position: str, reconciler: str) -> str:
        """Serve HTTP for both services. Returns the address, empty when HTTP_LISTEN is off."""
        asked = self._position.http_listen
        listen = asked if "http_listen" in self._position.model_fields_set else HTTP_LISTEN
        if not listen:
            return ""
        upstreams = [
            Upstream(Listen.parse(position).dial(), POSITION_SERVICES),
            Upstream(Listen.parse(reconciler).dial(), RECONCILER_SERVICES),
        ]
        self._edge = HttpServer(
            listen,
            upstreams,
            title="trueup",
            cors_origins=self._position.cors_origins,
            hosts=self._position.hosts,
            insecure=self._position.insecure,
            drain_wait_s=0.0,
            own_pages=desk_page(),
        )
        port = await self._edge.start()
        self._stack.push_async_callback(self._edge.stop, HTTP_GRACE_S)
        return Listen.parse(listen).dial(port)

    def _database(self) -> dict[str, str]:
        """Where the Position service keeps its data: what was asked for, else simulated data in a folder of its own."""
        if self._folder is not None:
            return {"DB_PATH": str(self._folder)}
        if self._position.database_url is not None or not self._simulated:
            return {}
        folder = Path(tempfile.mkdtemp(prefix="trueup-simulated-"))
        folder.chmod(0o711)  # as root the database runs as a user of its own
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return {"DB_PATH": str(folder)}

    async def _simulator(self) -> tuple[Exchange, str]:
        """A simulated venue over real HTTP that holds what the book is going to hold."""
        exchange = scenario.new_exchange(now=lambda: time.time_ns() // 1_000_000)
        scenario.seed(exchange)
        listen = _simulator_listen(CliSettings.load())
        server = await serve(exchange, listen.host, listen.port)
        self._stack.push_async_callback(server.close)
        walking = asyncio.create_task(_walk(exchange))
        self._stack.push_async_callback(_cancelled, walking)
        told = "" if server.url == SIMULATOR_URL else f" told SIMULATOR_URL={server.url}"
        self.screen.say(f"SIMULATED Hyperliquid at {server.url}; `trueup simulate`{told} makes things happen there")
        return exchange, server.url

    async def _first_run(self, reconciler: str) -> None:
        """Show what the first cycle found, so that everybody knows where the story starts."""
        async with grpc.aio.insecure_channel(reconciler) as to:
            stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(to)
            run = (await stub.Reconcile(reconciler_service_pb2.ReconcileRequest(), timeout=60)).run
        self.screen.say(
            f"reconciled: {run.positions_compared} positions compared, {run.confirmed} drifts, "
            f"{sum(not check.error for check in run.checks)} of {len(run.checks)} venue scopes read"
        )
        for check in run.checks:
            if check.error:
                self.screen.say(f"{check.venue} could not be read: {check.error}")

    async def _tell(self, exchange: Exchange | None, spacing_s: float) -> None:
        if exchange is None:
            return
        async for step in scenario.play(exchange, spacing_s=spacing_s):
            self.screen.at_venue(step.caption)

    async def _show(self, reconciler: str, enough: int | None) -> None:
        """Print drift events as they are streamed, for ever or until there were enough."""
        seen: set[str] = set()
        async with channel.connect(reconciler) as to:
            stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(to)
            async for message in _drifts(stub):
                for event in message.events:
                    self.screen.drift(event)
                    seen.add(event.drift.symbol)
                if enough is not None and len(seen) >= enough:
                    return


def _simulator_listen(settings: CliSettings) -> Listen:
    """Where a simulated venue listens: where it was asked to, or where it usually does, or at a free port.

    Raises StartupError.
    """
    listen = Listen.parse(settings.simulator_listen or "127.0.0.1:0")
    if listen.path or not listen.loopback:
        raise StartupError(f"SIMULATOR_LISTEN: a simulated venue listens on loopback, not on {listen}")
    if problem := why_not(listen):
        if "simulator_listen" in settings.model_fields_set:
            raise StartupError(f"cannot listen on {listen}: {problem}")
        return Listen(listen.host, 0)
    return listen


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


async def open_book(address: str) -> None:
    """Open the positions of the scenario; those that are open already stay as they are."""
    modes = {Mode.CROSS: types_pb2.MARGIN_MODE_CROSS, Mode.ISOLATED: types_pb2.MARGIN_MODE_ISOLATED}
    async with grpc.aio.insecure_channel(address) as to:
        stub = position_service_pb2_grpc.PositionServiceStub(to)
        for held in scenario.book():
            request = position_service_pb2.OpenPositionRequest(
                venue="hyperliquid",
                symbol=held.coin,
                asset=held.asset,
                side=types_pb2.SIDE_LONG if held.is_long else types_pb2.SIDE_SHORT,
                size=str(held.size),
                entry_price=str(held.entry_price),
                leverage=str(held.leverage),
                margin_mode=modes[held.mode],
                liquidation_price=str(held.liquidation_price or ""),
                reason="the desk's book",
            )
            try:
                await stub.OpenPosition(request, timeout=30)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise


async def _walk(exchange: Exchange) -> None:
    walk = scenario.Walk(exchange)
    while True:
        await asyncio.sleep(1.0)
        walk.step()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
