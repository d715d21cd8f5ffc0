"""Path templates of google.api.http: `/api/positions/{asset=*/*}/close`, `/v1/drifts/{drift_id}:snooze`.

A template matches the path as it came, percent-encoded. Inside a variable of several segments an encoded slash counts as
one, so that `BTC%2FUSD` is the same asset as `BTC/USD`; in a variable of one segment it is part of the value.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from grpckit.errors import StartupError

# What may stand unencoded anywhere: encoded or not, it is the same path.
_UNRESERVED = re.compile(r"%(4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|3[0-9]|2D|2E|5F|7E)", re.IGNORECASE)
_TOKEN = re.compile(r"\{(?P<field>[a-z0-9_.]+)(?:=(?P<pattern>[^{}]+))?\}|(?P<wild>\*\*?)|(?P<literal>[^{}*/]+)")
_SLASH = "(?:/|%2[Ff])"
_NO_SLASH = "(?:(?!%2[Ff])[^/])+"


class Template:
    """A parsed template. Templates sort in the order in which they are to be tried: the particular before the general."""

    def __init__(self, text: str) -> None:
        """Parses. Raises StartupError for what is not a template of ours."""
        if not text.startswith("/"):
            raise StartupError(f"the path template {text!r} does not begin with a slash")
        self.text = text
        self.fields: list[str] = []
        path, colon, verb = text.rpartition(":")
        if not colon or "/" in verb or "}" in verb:
            path, verb = text, ""
        parts = [self._segment(part) for part in _split(path)]
        pattern = "".join(f"/{part.pattern}" for part in parts)
        self._pattern = re.compile(pattern + (f":{re.escape(verb)}" if verb else ""))
        # With a verb first: a variable would take the verb for a part of its value.
        self.order = (not verb, tuple(part.rank for part in parts), text)
        self.shape = (verb, tuple(part.pattern if part.rank == 0 else str(part.rank) for part in parts))

    @property
    def openapi(self) -> str:
        """The template as OpenAPI spells it, without the patterns of variables."""
        return re.sub(r"=[^{}]+\}", "}", self.text)

    def match(self, path: str) -> dict[str, str] | None:
        """Returns the variables of a normalised path, decoded; None when it does not match.

        Raises UnicodeDecodeError when a variable's bytes are not UTF-8.
        """
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        values = (unquote(value, errors="strict") for value in found.groups())
        return dict(zip(self.fields, values, strict=True))

    def _segment(self, text: str) -> _Segment:
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise StartupError(f"the path template {self.text!r} has a segment {text!r}: not supported")
        if found["literal"]:
            return _Segment(re.escape(found["literal"]), 0)
        if found["wild"]:
            return _Segment(*_WILD[found["wild"]])
        self.fields.append(found["field"])
        parts = (found["pattern"] or "*").split("/")
        if parts in (["*"], ["**"]):
            pattern, rank = _WILD[parts[0]]
            return _Segment(f"({pattern})", rank)
        inner = [_NO_SLASH if part == "*" else ".+" if part == "**" else re.escape(part) for part in parts]
        return _Segment(f"({_SLASH.join(inner)})", 1 + len(parts))


class _Segment(NamedTuple):
    pattern: str
    rank: int  # 0: a literal; the more it may take, the later it is tried


_WILD = {"*": ("[^/]+", 1), "**": (".+", 1_000)}


def _split(path: str) -> list[str]:
    """Splits at the slashes that are not inside braces."""
    return re.split(r"/(?![^{]*\})", path[1:])


def normalised(path: str) -> str:
    """Decodes what need not have been encoded."""
    return _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
