"""Addresses of services: what can be called, and what is said of the rest before anybody is."""

from __future__ import annotations

import pytest

from grpckit.errors import StartupError
from trueup_cli.addresses import host_and_port
from trueup_cli.calling import position_address
from trueup_cli.client import Client


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("trueup.internal:1", ("trueup.internal", 1)),
        ("[::1]:50051", ("::1", 50051)),
        ("dns:///position:50051", ("position", 50051)),
        ("dns://10.0.0.1/position:50051", ("position", 50051)),
        ("dns:position:50051", ("position", 50051)),
        ("ipv4:127.0.0.1:50051,127.0.0.1:50061", ("127.0.0.1", 50051)),
        ("ipv6:[::1]:50051", ("::1", 50051)),
        ("unix:/run/trueup/grpc", None),
        ("unix-abstract:trueup", None),
        ("xds:///position", None),
    ],
)
def test_what_grpc_takes_is_taken(address: str, found: tuple[str, int] | None):
    assert host_and_port(address) == found


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:50051", "has a scheme: write host:port, e.g. 127.0.0.1:50051; whether TLS is spoken"),
        ("grpc://desk:7/", "has a scheme: write host:port, e.g. desk:7; whether TLS is spoken"),
        ("https://desk", "has a scheme: write host:port, e.g. 127.0.0.1:50051; whether TLS is spoken"),
        ("localhost", "'localhost' has no port: write host:port, e.g. localhost:50051"),
        ("dns:///position", "'position' has no port: write host:port, e.g. position:50051"),
        ("ipv4:127.0.0.1:50051,127.0.0.2", "'127.0.0.2' has no port"),
        ("localhost:", "'localhost:' is no address: write host:port, e.g. 127.0.0.1:50051"),
        ("localhost:x", "'localhost:x' is no address"),
        ("localhost:0", "'localhost:0' is no address"),
        (":50051", "':50051' is no address"),
        ("::1", "'::1' is no address"),
        ("", "'' is no address"),
        ("a:1,b:2", "'a:1,b:2' is no address"),
    ],
)
def test_what_nobody_could_answer_at_says_how_it_is_written(address: str, said: str):
    with pytest.raises(ValueError, match="write host:port") as caught:
        host_and_port(address)
    assert said in str(caught.value)


def test_an_address_is_refused_before_it_is_called_under_the_name_of_its_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSITION_ADDRESS", "http://desk:7")
    with pytest.raises(StartupError, match=r"^POSITION_ADDRESS: 'http://desk:7' has a scheme"):
        position_address()
    assert position_address("desk:7") == "desk:7"
    with pytest.raises(StartupError, match=r"^RECONCILER_ADDRESS: 'desk' has no port: .* e.g. desk:50052"):
        Client("desk:7", "desk")
    with pytest.raises(StartupError, match=r"^RECONCILER_ADDRESS: 'desk:' is no address: .* e.g. 127.0.0.1:50052"):
        Client("desk:7", "desk:")
