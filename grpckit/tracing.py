"""OpenTelemetry traces, as an extra: pip install 'trueup[otel]', and OTEL_EXPORTER_OTLP_ENDPOINT.

Nothing is imported and nothing wrapped unless it is switched on: ``active`` is None then, and asking that is all it costs.
A call's context comes and goes as W3C traceparent in its metadata. A reconciliation run has its run_id as trace id, so
whatever bears the run's id, a drift event that is delivered a minute later too, is of the same trace.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

from grpckit.caller import trace_id, traced_as
from grpckit.errors import StartupError
from grpckit.version import own_version

if TYPE_CHECKING:
    from opentelemetry.trace import SpanKind
    from opentelemetry.util.types import AttributeValue

TRACEPARENT = "traceparent"
Metadata = Iterable[tuple[str, str | bytes]]


class Tracer:
    """Makes spans and sends them. One a process, made by `start`."""

    def __init__(self, service: str, endpoint: str) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        resource = Resource.create({"service.name": f"trueup-{service}", "service.version": own_version()})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("trueup", own_version())
        self._trace = trace
        self._w3c = tracecontext.TraceContextTextMapPropagator()

    def server(self, name: str, metadata: Metadata) -> AbstractContextManager[None]:
        """A span of a call that came in, under the one its metadata names."""
        carrier = {key: value for key, value in metadata if key == TRACEPARENT and isinstance(value, str)}
        return self._span(name, self._trace.SpanKind.SERVER, self._w3c.extract(carrier), {})

    def inside(self, name: str) -> AbstractContextManager[None]:
        """A span under the current one."""
        return self._span(name, self._trace.SpanKind.INTERNAL, None, {})

    def run(self, run_id: str, trigger: str) -> AbstractContextManager[None]:
        """The span of a reconciliation run."""
        attributes: dict[str, AttributeValue] = {"trueup.run_id": run_id, "trueup.trigger": trigger}
        return self._span("run", self._trace.SpanKind.INTERNAL, self._of(run_id), attributes)

    def delivered(self, run_id: str, since_ns: int, **attributes: str) -> None:
        """A span from a time to now: what a run found has reached the stream. Ids that are no UUIDs have no trace."""
        if (context := self._of(run_id)) is not None:
            made: dict[str, AttributeValue] = {f"trueup.{name}": value for name, value in attributes.items()}
            self._tracer.start_span("drift on the stream", context, start_time=since_ns, attributes=made).end()

    def carried(self) -> tuple[tuple[str, str], ...]:
        """The current span as metadata of a call to another service."""
        carrier: dict[str, str] = {}
        self._w3c.inject(carrier)
        return tuple(carrier.items())

    def close(self) -> None:
        """Sends what is left. It may take seconds: not for the event loop."""
        self._provider.shutdown()

    def _of(self, run_id: str) -> Any:
        try:
            trace_id = UUID(run_id).int
        except ValueError:
            return None
        sampled = self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED)
        parent = self._trace.SpanContext(trace_id, trace_id & (2**64 - 1) or 1, is_remote=True, trace_flags=sampled)
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))

    @contextmanager
    def _span(self, name: str, kind: SpanKind, context: Any, attributes: dict[str, AttributeValue]) -> Iterator[None]:
        # What an exception says may be about secrets: only its kind is told.
        with self._tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            before = trace_id()
            traced_as(self._trace.format_trace_id(span.get_span_context().trace_id))
            try:
                yield
            except Exception as error:
                span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
                raise
            finally:
                # The task of a call that is served is its own, and its last log line comes later.
                if kind is not self._trace.SpanKind.SERVER:
                    traced_as(before)


active: Tracer | None = None


def start(service: str, endpoint: str) -> None:
    """Switches tracing on when an endpoint is given. Raises StartupError when the extra is not installed."""
    global active  # noqa: PLW0603 - a process has one, and asking for it must cost nothing
    if not endpoint:
        return
    try:
        active = Tracer(service, endpoint)
    except ModuleNotFoundError:
        raise StartupError("OTEL_EXPORTER_OTLP_ENDPOINT needs the tracing extra: pip install 'trueup[otel]'") from None


def stop() -> None:
    """Sends what is left and switches tracing off."""
    global active  # noqa: PLW0603 - as above
    if active is not None:
        active.close()
        active = None


def traced(name: str, behaviour: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    """A unary handler in a span of its own; the handler itself when tracing is off."""
    tracer = active
    if tracer is None:
        return behaviour

    @functools.wraps(behaviour)
    async def call(request: Any, context: Any) -> Any:
        with tracer.server(name, context.invocation_metadata() or ()):
            return await behaviour(request, context)

    return call


def of_run(run_id: str, trigger: str) -> AbstractContextManager[None]:
    """The span of a reconciliation run, if there are spans."""
    return nullcontext() if active is None else active.run(run_id, trigger)
