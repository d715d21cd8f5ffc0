"""The composition root: settings in, a running Reconciler out. Everything is wired here and nowhere else."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import structlog
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.reconciler.v1.reconciler_service_pb2_grpc import add_ReconcilerServiceServicer_to_server
from trueup.types.v1 import drift_pb2

from grpckit import log as logs
from grpckit import tracing
from grpckit.access import Access
from grpckit.caller import anonymous
from grpckit.channel import connect
from grpckit.clients import Clients
from grpckit.front import Front
from grpckit.guard import Guard
from grpckit.keyed import keyed
from grpckit.onward import Onward
from grpckit.reopened import reopened
from grpckit.secret_file import secret_in_use
from grpckit.server import Service
from grpckit.tls import calling
from reconciler_service import convert_health, peer
from reconciler_service.allocation import Targets
from reconciler_service.book import Book
from reconciler_service.correct import Action
from reconciler_service.cycle import Cycle, Result, Rules
from reconciler_service.desk import Desk
from reconciler_service.enforce import Enforcer
from reconciler_service.equity_watch import EquityRules, EquityWatch
from reconciler_service.evidence import Search
from reconciler_service.feed import Feed
from reconciler_service.findings import Kind
from reconciler_service.health import Health, State
from reconciler_service.keys import Keeper
from reconciler_service.lease import Lease
from reconciler_service.mark_feed import MarkFeed
from reconciler_service.metrics import Runs, metrics
from reconciler_service.opening import listed, open_venues
from reconciler_service.page import desk_page
from reconciler_service.peer import Peer
from reconciler_service.policies import Policies, Policy
from reconciler_service.portfolio import Portfolio
from reconciler_service.relay import Relay
from reconciler_service.resolver import Resolver
from reconciler_service.runner import Runner
from reconciler_service.servicer import ReconcilerServicer, translate
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.tolerances import Tolerances
from reconciler_service.venues import Venue
from reconciler_service.venues.hyperliquid import adapter as hyperliquid
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid

SERVICES = (reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"],)
RELEASE = Decimal("0.8")  # of the tolerance, unless it is set
STOP_S = 2.0  # for the cycle under way at shutdown; it is repeated by the next process anyway

_log = structlog.get_logger("reconciler")


class ReconcilerApp:
    """The service as one thing: ``start`` returns its port, ``stop`` drains it.

    ``venues`` replaces the adapters that the settings would open; the app closes them.
    """

    def __init__(self, settings: ReconcilerSettings, venues: Sequence[Venue] | None = None) -> None:
        opened, missing = open_venues(settings) if venues is None else (venues, [])
        self._settings = settings
        self._venues = list(opened)
        # Streams have a connection of their own: however many there are, a run can be recorded.
        key = secret_in_use(settings.position_key, settings.position_key_file, "POSITION_KEY")
        files = calling(settings)
        self._calls = keyed(reopened(functools.partial(_dial, settings, interceptors=[Onward()]), files), key)
        self._streams = keyed(reopened(functools.partial(_dial, settings, watching=True), files), key)
        book = Book(self._calls)
        desks = [_desk(venue) for venue in self._venues]
        how = rules(settings)
        self._lease = Lease(book.log, settings.reconciler_lease_ttl)
        shares = targets(settings)
        watch = EquityWatch(
            book,
            EquityRules(
                settings.equity_tolerance,
                settings.equity_alerts,
                how.search.quote | set(listed(settings.hyperliquid_cash)),  # the collateral of a dex counts as USD
                settings.venue_timeout,
                settings.equity_baseline == "kept",
            ),
        )
        self._equity = watch
        cycle = Cycle(book, how, portfolio=Portfolio(shares, lambda: self.runner.desks), equity=watch)
        interval_s = settings.reconciliation_interval
        self.runner = Runner(cycle, desks, missing, interval_s, self.is_active, self._grow)
        self._feed = Feed(Book(self._streams).log)
        relay = Relay(self._feed, book.log, self._health, settings.progress_interval)
        resolver = Resolver(book, self.runner, how)
        self._runs = Runs()
        self._enforcer = Enforcer(resolver, self.runner)
        self.runner.then = self._after
        servicer = ReconcilerServicer(self.runner, book, relay, self._health, shares, resolver, self.is_active)
        service = Service(SERVICES[0], add_ReconcilerServiceServicer_to_server, servicer)
        required = settings.keys_required(settings.reconciler_listen)
        self._access = Access(Keeper(self._calls), limits=settings.limits) if required else None
        clients = Clients(settings.limits) if settings.counts_clients(settings.reconciler_listen) else None
        authenticate = self._access or anonymous
        guard = Guard(translate=translate, authenticate=authenticate, admit=clients, limits=settings.limits)
        if self._access is not None:
            self._access.end_streams = guard.end_streams
        title = "trueup: reconciliation"
        self._front = Front(settings, settings.reconciler_listen, [service], guard, title=title, own_pages=desk_page())
        self._peer = Peer(self._calls)
        self._front.health.depends("position_service", lambda: self._peer.is_there)
        self._front.health.watches(self._venues_by_name)
        self._metrics = metrics(
            self.runner,
            self._runs,
            is_active=self.is_active,
            is_there=lambda: self._peer.is_there,
            known_revision=lambda: self._feed.revision,
        )
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.http_port = 0

    async def start(self) -> int:
        """Serve, and begin the cycles. Raises StartupError that says what to do."""
        port = await self._front.start()
        self.http_port = self._front.http_port
        self._tasks = [asyncio.create_task(self._cycles()), asyncio.create_task(self._feed.run())]
        self._tasks.append(asyncio.create_task(self._lease.keep(self._take_over)))
        oldest, every_s = timedelta(seconds=self._settings.state_max_age), self._settings.mark_interval
        marks = MarkFeed(lambda: self.runner.desks, Book(self._calls), every_s, oldest, self.is_active)
        self._tasks.append(asyncio.create_task(marks.run()))
        if self._access is not None:
            self._tasks.append(asyncio.create_task(self._access.run()))
        self._tasks.append(asyncio.create_task(self._peer.run()))
        for task in self._tasks:
            task.add_done_callback(_report)
        self._metrics.open()
        for desk in self.runner.desks:
            self._listen(desk)
        return port

    def _listen(self, desk: Desk) -> None:
        if desk.watch is not None:
            run = desk.watch.run(functools.partial(self.runner.push, desk))
            self._tasks.append(asyncio.create_task(run))
            self._tasks[-1].add_done_callback(_report)

    async def _cycles(self) -> None:
        """Begin once it is known whether there is another one who runs them."""
        await self._lease.decided()
        await self.runner.serve(self._stop)

    async def stop(self) -> None:
        """In order: no new calls, streams end, the cycle under way gets a moment, connections close."""
        await self._front.stop_http(self._settings.drain_grace)
        self._metrics.close()
        self._stop.set()
        await self._front.stop(self._settings.drain_grace)
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lease.give_up()
        for venue in self._venues:
            await venue.close()
        await self._calls.close(None)
        await self._streams.close(None)

    def _take_over(self) -> None:
        self._equity.forget()
        self.runner.activate()

    def is_active(self) -> bool:
        """Whether this Reconciler, of several, is the one that runs the interval cycles."""
        return self._lease.is_held

    async def _grow(self) -> list[Desk]:
        """The desks of sub-accounts that were not known before."""
        found = await hyperliquid.members([venue for venue in self._venues if isinstance(venue, Hyperliquid)])
        self._venues += found
        desks = [_desk(venue) for venue in found]
        for desk in desks:
            self._listen(desk)
        return desks

    async def _after(self, result: Result) -> Result:
        """What follows a run that was recorded: it is counted, and policies are carried out."""
        self._runs.ended(result)
        return await self._enforcer.act(result)

    def _venues_by_name(self) -> dict[str, bool]:
        """Whether every account of a venue can be read; accounts are nobody's business who only asks for health."""
        found: dict[str, bool] = {}
        for seen in self.runner.venues:
            name = f"venue/{seen.venue}"
            if seen.state is not State.UNCONFIGURED:
                found[name] = found.get(name, True) and seen.state is State.OK
        return found

    def _health(self) -> list[drift_pb2.VenueHealth]:
        now = datetime.now(UTC)
        return [convert_health.health(seen, now) for seen in self.runner.venues]


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = ReconcilerSettings.load()
    logs.configure(settings.log_level, settings.log_format)
    tracing.start("reconciler", settings.otel_exporter_otlp_endpoint)
    app = ReconcilerApp(settings)
    try:
        port = await app.start()
        _log.info("reconciler is ready", listen=settings.reconciler_listen, port=port, source=settings.source.value)
        await stop.wait()
        _log.info("reconciler is draining")
    finally:
        await app.stop()
        await asyncio.to_thread(tracing.stop)


def _dial(
    settings: ReconcilerSettings, credentials: grpc.ChannelCredentials | None, **options: Any
) -> grpc.aio.Channel:
    return connect(settings.position_address, credentials=credentials, service=peer.SERVICE, **options)


def _report(task: asyncio.Task[None]) -> None:
    """None of them ever ends by itself: one that does is a defect, and is told when it happens."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a task has died", exc_info=error)


def _desk(venue: Venue) -> Desk:
    return Desk(venue, Health(venue.account, venue.name, venue.source), venue.watch())


def rules(settings: ReconcilerSettings) -> Rules:
    """The settings as the cycle takes them."""
    currencies = frozenset(listed(settings.quote_currencies))
    return Rules(
        tolerances=Tolerances(
            size=settings.size_tolerance,
            price=settings.price_tolerance,
            usd=settings.size_tolerance_usd,
            leverage=settings.leverage_tolerance,
            liquidation_isolated=settings.liquidation_tolerance,
            liquidation_cross=settings.liquidation_tolerance_cross,
            overrides={(row.venue, row.symbol): row.values for row in settings.tolerances},
        ),
        confirm_after_s=settings.confirmation_delay,
        oldest_state=timedelta(seconds=settings.state_max_age),
        venue_timeout_s=settings.venue_timeout,
        policies=Policies(
            {
                (Kind[row.kind], row.venue, row.symbol): Policy(
                    None if row.action == "ALERT" else Action[row.action], row.max_usd
                )
                for row in settings.policies
            }
        ),
        search=Search(currencies, timedelta(days=settings.fills_lookback), settings.venue_timeout),
    )


def targets(settings: ReconcilerSettings) -> Targets:
    """How the portfolio should be spread."""
    shares = {"hyperliquid": settings.hl_allocation, "coinbase": settings.cb_allocation}
    release = settings.allocation_release
    if release is None:
        release = settings.allocation_tolerance * RELEASE
    return Targets(shares, settings.allocation_tolerance, release)
