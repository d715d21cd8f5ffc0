"""Listen addresses."""

from __future__ import annotations

import pytest

from grpckit.listen import Listen, why_not


@pytest.mark.parametrize(
    ("text", "canonical", "loopback"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", True),
        ("127.8.9.1:0", "127.8.9.1:0", True),
        ("localhost:1", "localhost:1", True),
        ("[::1]:50051", "[::1]:50051", True),
        ("unix:/run/a.sock", "unix:/run/a.sock", True),
        ("unix:///run/a.sock", "unix:/run/a.sock", True),
        ("0.0.0.0:50051", "0.0.0.0:50051", False),
        (":50051", "[::]:50051", False),
        ("[::]:50051", "[::]:50051", False),
        ("10.0.0.7:50051", "10.0.0.7:50051", False),
        ("localhost.example.org:1", "localhost.example.org:1", False),
    ],
)
def test_addresses_are_understood(text, canonical, loopback):
    listen = Listen.parse(text)
    assert (str(listen), listen.loopback) == (canonical, loopback)
    assert Listen.parse(str(listen)) == listen


@pytest.mark.parametrize(
    "text", ["", "50051", "host", "host:", "host:port", "host:-1", "host:65536", "::1:50051", "unix:"]
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r"expected host:port|needs a path"):
        Listen.parse(text)


def test_a_unix_path_must_fit():
    with pytest.raises(ValueError, match="at most 107 bytes"):
        Listen.parse("unix:/" + "x" * 107)


def test_reasons_are_told(tmp_path):
    assert why_not(Listen.parse("127.0.0.1:0")) == ""
    assert why_not(Listen.parse(f"unix:{tmp_path}/s")) == ""
    assert "no folder" in why_not(Listen.parse(f"unix:{tmp_path}/none/s"))
    assert "no address" in why_not(Listen.parse("192.0.2.1:0"))
    assert "unknown" in why_not(Listen.parse("no-such-host.invalid:1"))


@pytest.mark.parametrize(
    ("text", "port", "dialled"),
    [
        ("127.0.0.1:50051", 0, "127.0.0.1:50051"),
        ("127.0.0.1:0", 4711, "127.0.0.1:4711"),
        ("0.0.0.0:50051", 50051, "127.0.0.1:50051"),
        (":50051", 0, "127.0.0.1:50051"),
        ("[::1]:50051", 0, "[::1]:50051"),
        ("unix:/run/a.sock", 0, "unix:/run/a.sock"),
    ],
)
def test_what_a_client_on_this_machine_dials(text, port, dialled):
    assert Listen.parse(text).dial(port) == dialled
