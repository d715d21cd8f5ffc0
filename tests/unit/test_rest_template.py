"""Path templates: what they match, in which order, and what they make of percent-encoding."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpckit.errors import StartupError
from grpckit.rest.template import Template, normalised

ASSET = Template("/api/positions/{asset=*/*}")
DRIFT = Template("/v1/drifts/{drift_id}:snooze")
SEGMENTS = st.text(min_size=1, max_size=20).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/v1/runs", "/v1/runs", {}),
        ("/v1/runs", "/v1/runs/", None),
        ("/v1/runs", "/v1/runsx", None),
        ("/v1/runs", "/x/v1/runs", None),
        ("/v1/runs/{run_id}", "/v1/runs/7", {"run_id": "7"}),
        ("/v1/runs/{run_id}", "/v1/runs/", None),
        ("/v1/runs/{run_id}", "/v1/runs/7/8", None),
        ("/v1/runs/{run_id}", "/v1/runs/7%2F8", {"run_id": "7/8"}),
        ("/v1/runs/{run_id}/x", "/v1/runs/7/x", {"run_id": "7"}),
        ("/api/positions/{asset=*/*}", "/api/positions/BTC/USD", {"asset": "BTC/USD"}),
        ("/api/positions/{asset=*/*}", "/api/positions/BTC%2FUSD", {"asset": "BTC/USD"}),
        ("/api/positions/{asset=*/*}", "/api/positions/BTC%2fUSD", {"asset": "BTC/USD"}),
        ("/api/positions/{asset=*/*}", "/api/positions/xyz:TSLA/USD", {"asset": "xyz:TSLA/USD"}),
        ("/api/positions/{asset=*/*}", "/api/positions/BTC", None),
        ("/api/positions/{asset=*/*}", "/api/positions/BTC%2FUSD/history", None),
        ("/api/positions/{asset=*/*}", "/api/positions//USD", None),
        ("/api/positions/{asset=*/*}/close", "/api/positions/BTC%2FUSD/close", {"asset": "BTC/USD"}),
        ("/v1/drifts/{drift_id}:snooze", "/v1/drifts/7:snooze", {"drift_id": "7"}),
        ("/v1/drifts/{drift_id}:snooze", "/v1/drifts/7", None),
        ("/v1/drifts/{drift_id}:snooze", "/v1/drifts/:snooze", None),
        ("/v1/drifts/{drift_id}:snooze", "/v1/drifts/7%3Asnooze", None),
        ("/v1/drifts:stream", "/v1/drifts:stream", {}),
        ("/v1/{name=things/*}", "/v1/things/7", {"name": "things/7"}),
        ("/v1/{name=things/*}", "/v1/others/7", None),
        ("/v1/{rest=**}", "/v1/a/b/c", {"rest": "a/b/c"}),
        ("/v1/*/x", "/v1/anything/x", {}),
        ("/v1/a.b", "/v1/aXb", None),
    ],
)
def test_match(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert Template(template).match(path) == expected


@pytest.mark.parametrize("text", ["v1/x", "/", "/v1//x", "/v1/x{y}", "/v1/{x", "/v1/{}", "/v1/x/"])
def test_what_is_no_template_does_not_start(text: str) -> None:
    with pytest.raises(StartupError, match="path template"):
        Template(text)


def test_the_particular_is_tried_before_the_general() -> None:
    texts = ["/v1/{rest=**}", "/v1/{a}", "/v1/{a=*/*}", "/v1/{a}:go", "/v1/things", "/v1/things:go"]
    ordered = [template.text for template in sorted(map(Template, texts), key=lambda one: one.order)]
    assert ordered == ["/v1/things:go", "/v1/{a}:go", "/v1/things", "/v1/{a}", "/v1/{a=*/*}", "/v1/{rest=**}"]


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        ASSET.match("/api/positions/%FF/USD")


@given(SEGMENTS, SEGMENTS)
def test_whatever_is_encoded_comes_out_again(base: str, quoted: str) -> None:
    path = f"/api/positions/{quote(base, safe='')}/{quote(quoted, safe='')}"
    found = ASSET.match(normalised(path))
    if "/" in base + quoted:
        assert found is None  # an encoded slash parts segments here, and an asset has two
    else:
        assert found == {"asset": f"{base}/{quoted}"}


@given(SEGMENTS)
def test_the_verb_never_becomes_a_part_of_the_value(value: str) -> None:
    assert DRIFT.match(normalised(f"/v1/drifts/{quote(value, safe='')}:snooze")) == {"drift_id": value}


@given(st.text(alphabet="abcXYZ019-._~/%:", max_size=30))
def test_normalising_twice_changes_nothing_that_reserved_bytes_mean(path: str) -> None:
    encoded = "".join(f"%{ord(character):02X}" if character.isalnum() else character for character in path)
    assert normalised(quote(path, safe="/:")) == normalised(normalised(quote(path, safe="/:")))
    assert normalised(encoded).count("/") == path.count("/")


def test_unreserved_bytes_may_be_encoded() -> None:
    assert normalised("/%61pi/%2d%2E%5f%7e%41%30") == "/api/-._~A0"
    assert normalised("/a%2Fb%3A%20%25") == "/a%2Fb%3A%20%25"
