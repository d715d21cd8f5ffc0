"""One trace from a REST call to the commit, one from a venue's push to the drift on the stream; off, there is nothing."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.e2e.processes import Trio, environment, free_port, scratch, wait_until

CALLER = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []  # of which service
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for group in trace_service_pb2.ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {one.key: one.value.string_value for one in group.resource.attributes}
                    for scope in group.scope_spans:
                        collector.spans += [(named["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, trace_id: str) -> list[tuple[str, Any]]:
        """The spans of a trace, from its beginning."""
        found = [one for one in list(self.spans) if one[1].trace_id.hex() == trace_id]
        return sorted(found, key=lambda one: one[1].start_time_unix_nano)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def pair(collector: Collector) -> Iterator[Trio]:
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with scratch() as folder:
        processes = Trio(folder, RECONCILIATION_INTERVAL="3600", **told)
        processes.own["position"] = {"HTTP_LISTEN": f"127.0.0.1:{free_port()}"}
        try:
            processes.begin()
            yield processes
        finally:
            processes.stop()


def names(spans: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(service.removeprefix("trueup-"), span.name.rpartition("/")[2]) for service, span in spans]


def test_one_trace_from_the_rest_call_to_the_commit(pair: Trio, collector: Collector):
    request = urllib.request.Request(
        f"http://{pair.own['position']['HTTP_LISTEN']}/api/positions/open",
        json.dumps({"asset": "ARB/USD", "size": "10", "entry_price": "1"}).encode(),
        {"Content-Type": "application/json", "traceparent": f"00-{CALLER}-b7ad6b7169203331-01"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    spans = wait_until(lambda: len(found := collector.of(CALLER)) >= 3 and found, "the trace")
    assert names(spans) == [("position", "open"), ("position", "OpenPosition"), ("position", "commit")]
    parents = [span.parent_span_id.hex() for _, span in spans]
    assert parents == ["b7ad6b7169203331", *(span.span_id.hex() for _, span in spans[:-1])]
    (line,) = (
        one
        for one in pair.log("position")
        if one.get("method", "").endswith("/OpenPosition") and one["trace_id"] == CALLER
    )
    assert line["code"] == "OK"


def test_one_trace_from_the_push_to_the_drift_on_the_stream(pair: Trio, collector: Collector):
    pair.settle()
    with pair.subscribe() as stream:
        stream.wait_bookmark()
        pair.at_venue("trade", coin="ETH", side="buy", size="1")
        of_it = lambda: [one for one in stream.events if one["drift"].get("symbol") == "ETH"]  # noqa: E731 - shares drift too
        event = wait_until(of_it, "the drift")[0]
    trace_id = event["drift"]["run_id"].replace("-", "")
    wanted = {
        ("reconciler", "run"),
        ("position", "RecordRun"),
        ("position", "commit"),
        ("reconciler", "drift on the stream"),
    }
    spans = wait_until(lambda: wanted <= set(names(found := collector.of(trace_id))) and found, "the trace")
    by_name = {name: span for (_, name), (_, span) in zip(names(spans), spans, strict=True)}
    run = by_name["run"]
    attributes = {one.key: one.value.string_value for one in run.attributes}
    assert attributes.pop("trueup.trigger") in {"push", "start"}  # the first run may still have been looking
    assert attributes == {"trueup.run_id": event["drift"]["run_id"]}
    assert by_name["RecordRun"].parent_span_id == run.span_id
    assert by_name["drift on the stream"].start_time_unix_nano >= by_name["RecordRun"].start_time_unix_nano
    told = {name: [one.get("trace_id") for one in pair.log(name)] for name in ("position", "reconciler")}
    assert trace_id in told["position"], "where the run was recorded"
    assert None in told["reconciler"], "what is of no call and no run has no trace"


def test_switched_off_nothing_of_it_is_imported():
    code = "import sys, position_service.app, reconciler_service.app, grpckit.rest.server\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules['opentelemetry'] = None\n"
    code += "import runpy; sys.argv = ['x']; runpy.run_module('position_service', run_name='__main__')"
    with scratch() as folder:
        env = environment(folder, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install 'trueup[otel]'" in done.stderr
