"""The real Envoy, as deploy/compose.yaml runs it, before the real services of that file."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.e2e.composed import COMPOSE, Composed, Names, empty_database, mounted, prepared, simulated_venue
from tests.e2e.deployed import Site
from tests.e2e.processes import BIN, ROOT, Process, environment, free_port, json_objects, scratch, wait_until

PLAIN = ROOT / "protos/gen/trueup/plain.binpb"
POSITION, RECONCILER = "trueup.position.v1.PositionService", "trueup.reconciler.v1.ReconcilerService"
RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


class Front:
    """Envoy before the pair, with one of its two configurations."""

    running: Process

    def __init__(self, pair: Composed, configuration: str) -> None:
        self.pair, self.port = pair, free_port()
        self._folder = pair.site.folder / "envoy"
        self._folder.mkdir()
        self._mounts = mounted(pair.deploy, "envoy")
        self.names = Names({"position": ["127.0.0.1"], "reconciler": ["127.0.0.1"]})
        self.names.start()
        for target, source in self._mounts.items():
            if source.suffix == ".yaml":
                source.write_text(self._here(source.read_text()))
                assert "/etc/envoy" not in source.read_text(), f"a file that is not mounted, in {target}"
        resolver = {
            "@type": RESOLVER,
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": self.names.port}}],
            "dns_resolver_options": {"no_default_search_domain": True},
        }
        more = {"typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": resolver}}
        command = (word.replace("envoy.yaml", configuration) for word in COMPOSE["services"]["envoy"]["command"])
        words = [self._mounted(word) for word in command]
        self.command = [BIN / words[0], *words[1:], "--config-yaml", json.dumps(more), "--use-dynamic-base-id"]
        self.env = environment(self._folder)
        self.context = ssl.create_default_context(cafile=pair.ca)

    def _here(self, text: str) -> str:
        site = self.pair.site
        text = self._mounted(text).replace("0.0.0.0, port_value: 8080", f"127.0.0.1, port_value: {self.port}")
        for name, port in (("position", 50051), ("reconciler", 50052)):
            text = text.replace(f"{name}, port_value: {port}", f"{name}, port_value: {site.grpc[name]}")
            text = text.replace(f"{name}, port_value: 8000", f"{name}, port_value: {site.http[name]}")
        return text

    def _mounted(self, text: str) -> str:
        for target, source in self._mounts.items():
            text = text.replace(target, str(source))
        return text

    def ask(
        self,
        path: str,
        body: Any = None,
        key: str | None = None,
        verb: str | None = None,
        at: int | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any], Any]:
        """A request over HTTPS, with the root key unless another is given: status, JSON, headers.

        ``at`` is the port of somebody else than Envoy: of a service's own HTTP.
        """
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {} if key == "" else {"x-api-key": key or self.pair.root_key}
        request = urllib.request.Request(f"https://localhost:{at or self.port}{path}", data, given, method=verb)
        try:
            answer = urllib.request.urlopen(request, context=self.context, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with contextlib.closing(answer):
            text = answer.read().decode()
        return answer.status, json.loads(text) if text else {}, answer.headers

    def answers(self, path: str) -> bool:
        """Whether Envoy listens already and gets an answer."""
        with contextlib.suppress(OSError):
            return self.ask(path)[0] == 200
        return False

    def grpcurl(self, method: str, *options: str, key: str | None = None, **request: Any) -> list[str | Path]:
        key = self.pair.root_key if key is None else key
        return [
            *(BIN / "grpcurl", "-cacert", self.pair.ca, "-protoset", PLAIN, "-H", f"x-api-key: {key}"),
            *(*options, "-d", json.dumps(request), f"localhost:{self.port}", method),
        ]

    def call(self, method: str, *options: str, key: str | None = None, **request: Any) -> tuple[dict[str, Any], str]:
        """A unary call: what it answers, and what it says of an error."""
        command = self.grpcurl(method, *options, key=key, **request)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        return next(json_objects(done.stdout), {}), done.stderr

    def shown(self) -> x509.Certificate:
        """The certificate that callers see now."""
        return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", self.port)).encode())


@contextlib.contextmanager
def fronted(postgres: str, configuration: str, **settings: str) -> Iterator[Front]:
    """The pair, with some settings of its own, and Envoy before it."""
    with scratch() as folder, empty_database(postgres) as database, simulated_venue(folder) as venue:
        site = Site(folder, database, **venue, **settings)
        made = Front(Composed(site, prepared(folder)), configuration)
        try:
            made.pair.begin()
            with Process(made.command, made.env) as made.running:
                made.running.wait_for("starting workers")
                wait_until(lambda: made.answers("/v1/positions"), "Envoy to find the Position service")
                wait_until(lambda: made.answers("/v1/drifts"), "and the Reconciler")
                yield made
        finally:
            site.stop()
            made.names.stop()
