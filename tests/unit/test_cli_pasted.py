"""The commands that `trueup up` shows: what its settings ask of a caller, and no secret."""

from __future__ import annotations

import shlex
from pathlib import Path

from trueup_cli.pasted import CONTRACTS, Access, grpcurl

CA, CERTIFICATE, OWN_KEY = Path("/certs/ca.pem"), Path("/certs/client.pem"), Path("/my certs/client.key")
WHERE = {"position": "127.0.0.1:1", "reconciler": "127.0.0.1:2", "http": "127.0.0.1:3"}


def test_on_loopback_nothing_is_asked():
    lines = Access().lines(**WHERE)
    stream = "127.0.0.1:2 trueup.reconciler.v1.ReconcilerService/StreamDriftEvents"
    assert lines == [
        f"{grpcurl()} -plaintext {stream}",
        f"{grpcurl()} -plaintext -d '{{\"include_open\": true}}' {stream}",
        f"{grpcurl()} -plaintext 127.0.0.1:1 trueup.position.v1.PositionService/ListPositions",
        f"{grpcurl()} -plaintext 127.0.0.1:2 list",
        "curl http://127.0.0.1:3/api/positions/active",
        "curl -N 'http://127.0.0.1:3/v1/drifts:stream?include_open=true'",
    ]
    assert Access().lines(**WHERE | {"http": ""}) == lines[:-2]


def test_keys_and_tls_are_on_every_line():
    everything = Access(CA, (CERTIFICATE, OWN_KEY), wants_key=True, key_file=Path("/db/root key"), reflects=False)
    export, *lines = everything.lines(**WHERE)
    assert export == """export TRUEUP_KEY="$(cat '/db/root key')\""""
    *calls, active, stream = lines
    for line in calls:
        _, *words = shlex.split(line)
        given = dict(zip(words[::2], words[1::2], strict=False))
        assert (given["-cacert"], given["-cert"], given["-key"]) == (str(CA), str(CERTIFICATE), str(OWN_KEY))
        assert given["-protoset"] == str(CONTRACTS)
        assert "-expand-headers -H 'x-api-key: ${TRUEUP_KEY}'" in line
        assert "-plaintext" not in line
    for line in (active, stream):
        assert line.startswith("printf 'x-api-key: %s' \"$TRUEUP_KEY\" | curl --cacert /certs/ca.pem --cert ")
        assert "-H @-" in line
        assert "https://127.0.0.1:3/" in line
    assert CONTRACTS.is_file()


def test_a_key_that_is_in_no_file_is_the_callers_to_set():
    lines = Access(wants_key=True).lines(**WHERE)
    assert len(lines) == 6
    assert all("TRUEUP_KEY" in line for line in lines)
