"""Addresses of services that are called: host:port, unix:/path, and gRPC's forms that stand for several."""

from __future__ import annotations

from grpckit.listen import Listen

_SEVERAL = frozenset({"dns", "ipv4", "ipv6"})  # dns:///name:50051, ipv4:10.0.0.1:50051,10.0.0.2:50051
_OTHERS = frozenset({"unix", "unix-abstract", "vsock", "xds"})  # without a host and port to look at


def host_and_port(address: str, example: str = "127.0.0.1:50051") -> tuple[str, int] | None:
    """What is connected to, the first of several; None where it is no host and port.

    Raises ValueError that says what to write instead, as in the ``example``, for what could not be called: gRPC would
    look for a host of that name, or call port 443, and find that nothing answers.
    """
    kind, _, rest = address.partition(":")
    if kind in _OTHERS:
        return None
    if kind in _SEVERAL:
        first, *_ = [_split(one, example) for one in rest.rpartition("/")[2].split(",")]
        return first
    if "://" in address:
        bare = address.partition("://")[2].partition("/")[0]
        raise ValueError(
            f"{address!r} has a scheme: write host:port, e.g. {bare if _is_whole(bare) else example}; "
            "whether TLS is spoken is for TLS_CA_FILE to say"
        )
    return _split(address, example)


def _split(text: str, example: str) -> tuple[str, int]:
    if text and ":" not in text:
        raise ValueError(f"{text!r} has no port: write host:port, e.g. {text}:{example.rpartition(':')[2]}")
    if not _is_whole(text):
        raise ValueError(f"{text!r} is no address: write host:port, e.g. {example}")
    parsed = Listen.parse(text)
    return parsed.host, parsed.port


def _is_whole(text: str) -> bool:
    try:
        return not text.startswith(":") and Listen.parse(text).port > 0
    except ValueError:
        return False
