"""The composition root of the Position service: everything is wired here and nowhere else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from trueup.position.v1 import access_service_pb2, position_service_pb2, reconciliation_log_service_pb2
from trueup.position.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from trueup.position.v1.position_service_pb2_grpc import add_PositionServiceServicer_to_server
from trueup.position.v1.reconciliation_log_service_pb2_grpc import add_ReconciliationLogServiceServicer_to_server

from grpckit import log as logs
from grpckit import tracing
from grpckit.access import Access
from grpckit.caller import anonymous
from grpckit.clients import Clients
from grpckit.errors import StartupError
from grpckit.front import Front, servable
from grpckit.gauges import Gauges
from grpckit.guard import Guard
from grpckit.server import Service
from position_service import database
from position_service.access_servicer import AccessServicer
from position_service.domain.risk import Rules
from position_service.embedded import EmbeddedPostgres, default_folder
from position_service.errors import translate
from position_service.keys.keeper import Keeper
from position_service.keys.secrets import load_secrets
from position_service.keys.store import KeyStore
from position_service.ledger.history import History
from position_service.ledger.leases import Leases
from position_service.ledger.ledger import Ledger
from position_service.ledger.line import StoreUnavailable
from position_service.ledger.store import Store
from position_service.log_servicer import ReconciliationLogServicer
from position_service.metrics import metrics
from position_service.reads import Reads
from position_service.servicer import Contexts, PositionServicer
from position_service.settings import PositionSettings
from position_service.watch import Log, Watching

log = structlog.get_logger()

SERVICES = (
    position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
    reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
)


class PositionApp:
    """The service as one thing: ``start`` returns its port, ``stop`` drains it."""

    def __init__(self, settings: PositionSettings) -> None:
        self._settings = settings
        self._embedded: EmbeddedPostgres | None = None
        self._ledger: Ledger | None = None
        self._front: Front | None = None
        self._access: asyncio.Task[None] | None = None
        self._metrics: Gauges | None = None
        self.http_port = 0

    async def start(self) -> int:
        """Raises StartupError that says what to do."""
        settings = self._settings
        keys_required = settings.keys_required(settings.position_listen)
        servable(settings, settings.position_listen)  # what is refused leaves no database behind
        dsn = await self._database()
        folder = None if self._embedded is None else self._embedded.folder
        secrets = load_secrets(settings, folder, required=keys_required)
        await database.prepare(dsn, allow_unsafe=settings.allow_unsafe_database)
        store = Store(dsn)
        self._ledger = Ledger(store, linger_s=settings.commit_linger_ms / 1000)
        keeper = Keeper(KeyStore(store), secrets)
        access = Access(keeper, limits=settings.limits)
        try:
            await self._ledger.start()
            if keys_required:
                await access.refresh()
                self._access = asyncio.create_task(access.run(), name="API keys")
        except StoreUnavailable as error:
            raise StartupError("the database does not answer: check DATABASE_URL") from error
        self._front = self._serve(self._ledger, store, keeper, access, keys_required=keys_required)
        port = await self._front.start()
        self.http_port = self._front.http_port
        return port

    async def stop(self) -> None:
        """In order: no new calls, streams end, calls under way finish, the queue is committed, the database stops."""
        if self._front is not None:
            await self._front.stop_http(self._settings.drain_grace)
            await self._front.stop(self._settings.drain_grace)
        if self._access is not None:
            self._access.cancel()
            await asyncio.wait([self._access])
        if self._metrics is not None:
            self._metrics.close()
        if self._ledger is not None:
            await self._ledger.stop()
        if self._embedded is not None:
            await self._embedded.stop()

    async def _database(self) -> str:
        if self._settings.database_url is not None:
            return self._settings.database_url.get_secret_value()
        self._embedded = EmbeddedPostgres(self._settings.db_path or default_folder())
        await self._embedded.start()
        return self._embedded.dsn

    def _serve(self, ledger: Ledger, store: Store, keeper: Keeper, access: Access, *, keys_required: bool) -> Front:
        history, settings = History(store), self._settings
        contexts = Contexts(Rules(settings.liquidation_threshold, settings.maintenance_margin))
        events = Log(ledger, history, Watching(progress_s=settings.watch_progress_interval))
        retention = timedelta(days=settings.retention_days)
        reads = Reads(ledger, history, timedelta(seconds=settings.mark_max_age))
        positions = PositionServicer(ledger, history, reads, events, contexts, retention)
        runs = ReconciliationLogServicer(ledger, history, events, contexts, Leases(store))
        services = [
            Service(SERVICES[0], add_PositionServiceServicer_to_server, positions),
            Service(SERVICES[1], add_ReconciliationLogServiceServicer_to_server, runs),
            Service(SERVICES[2], add_AccessServiceServicer_to_server, AccessServicer(keeper, access)),
        ]
        authenticate = access if keys_required else anonymous
        clients = Clients(settings.limits) if settings.counts_clients(settings.position_listen) else None
        guard = Guard(translate=translate, authenticate=authenticate, admit=clients, limits=settings.limits)
        access.end_streams = guard.end_streams
        front = Front(settings, settings.position_listen, services, guard, title="trueup: positions")
        front.health.depends("database", lambda: ledger.is_reachable)
        self._metrics = metrics(ledger, events)
        self._metrics.open()
        return front


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = PositionSettings.load()
    logs.configure(settings.log_level, settings.log_format)
    tracing.start("position", settings.otel_exporter_otlp_endpoint)
    app = PositionApp(settings)
    try:
        port = await app.start()
        log.info("position service is ready", listen=settings.position_listen, port=port)
        await stop.wait()
        log.info("position service is draining")
    finally:
        await app.stop()
        await asyncio.to_thread(tracing.stop)
