"""HTTP/2 as far as a load client needs it: calls prepared as bytes, answers counted, next to nothing decoded.

h2load sends one body again and again; here every call has its own. Flow control and pings are answered as the protocol
asks. The client's own work per call is a few microseconds, so that it measures the server and not itself.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
FRAME = 16_384  # the most a peer takes in a frame unless it says otherwise
WINDOW = 65_535  # what a peer takes unasked
WIDE = 2**31 - 1
_REFILL = 2**29


class CallFailed(Exception):
    """The server refused a call or hung up."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that is neither indexed nor compressed."""
    return name + bytes((len(value),)) + value


def request_headers(path: str) -> bytes:
    """The header block of a gRPC call. Names are indexes of HPACK's static table where it has them."""
    return (
        b"\x83\x86"  # :method POST, :scheme http
        + _literal(b"\x04", path.encode())
        + _literal(b"\x01", b"localhost")
        + _literal(b"\x0f\x10", b"application/grpc")
        + _literal(b"\x00\x02te", b"trailers")
    )


def message(body: bytes) -> bytes:
    """A message with gRPC's own prefix: not compressed, its length."""
    return b"\x00" + struct.pack(">I", len(body)) + body


class Connection:
    """One connection. Subclasses say what is done ``on_data``, for each DATA frame, and ``on_end`` of a stream."""

    def __init__(self, address: str, *, stream_window: int = WIDE) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next = 1
        self._in = bytearray()
        self._out = bytearray()
        self._waiting: deque[tuple[int, bytes, int]] = deque()  # stream, payload, flags: until the windows allow
        self._window = WINDOW
        self._windows: dict[int, int] = {}
        self._initial = WINDOW
        self._taken = 0
        settings = struct.pack(">HIHI", 4, stream_window, 3, 10_000)
        self._out += b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings)
        self._out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WIDE - WINDOW))

    def on_data(self, stream: int, payload: bytes) -> None: ...

    def on_end(self, stream: int) -> None: ...

    def call(self, headers: bytes, body: bytes) -> int:
        """Queue a call; the stream it has. ``flush`` sends it."""
        stream, self._next = self._next, self._next + 2
        self._out += frame(HEADERS, END_HEADERS, stream, headers)
        self._windows[stream] = self._initial
        for start in range(0, len(body), FRAME):
            last = start + FRAME >= len(body)
            self._waiting.append((stream, body[start : start + FRAME], END_STREAM if last else 0))
        return stream

    def flush(self) -> None:
        """Send what the windows allow."""
        while self._waiting:
            stream, payload, flags = self._waiting[0]
            size = len(payload)
            if size > self._window or size > self._windows[stream]:
                break
            self._waiting.popleft()
            self._window -= size
            self._windows[stream] -= size
            self._out += frame(DATA, flags, stream, payload)
        if self._out:
            self.socket.sendall(self._out)
            self._out.clear()

    def receive(self) -> None:
        """Read once, which blocks until there is something, and take every frame that is complete."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise CallFailed("the server hung up")
        buffer = self._in
        buffer += chunk
        at, end = 0, len(buffer)
        while end - at >= 9:
            size = buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2]
            if end - at < 9 + size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, bytes(buffer[at + 9 : at + 9 + size]))
            at += 9 + size
        del buffer[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._taken += len(payload)
            if self._taken > _REFILL:
                self._out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken))
                self._taken = 0
            self.on_data(stream, payload)
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if not stream:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
            self._out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind in (RST_STREAM, GOAWAY):
            raise CallFailed(f"stream {stream} was reset or the connection ended: {payload!r}")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self._windows.pop(stream, None)
            self.on_end(stream)

    def _set(self, payload: bytes) -> None:
        for start in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[start : start + 6])
            if name == 4:
                self._windows = {stream: left + value - self._initial for stream, left in self._windows.items()}
                self._initial = value

    def close(self) -> None:
        self.socket.close()


class _Player(Connection):
    """Makes calls out of a supply it shares with others; the next one whenever one is answered."""

    def __init__(self, address: str, headers: bytes, supply: Iterator[bytes]) -> None:
        super().__init__(address)
        self.answered = 0
        self._headers = headers
        self._supply = supply
        self._silent: set[int] = set()  # calls without a message so far

    def begin(self) -> None:
        body = next(self._supply, None)
        if body is not None:
            self._silent.add(self.call(self._headers, body))

    def on_data(self, stream: int, payload: bytes) -> None:
        self._silent.discard(stream)

    def on_end(self, stream: int) -> None:
        if stream in self._silent:
            raise CallFailed(f"call {stream} was answered without a message")
        self.answered += 1
        self.begin()


def replay(address: str, path: str, bodies: Sequence[bytes], *, in_flight: int, connections: int = 4) -> None:
    """Make every call once, so many at a time. Raises CallFailed when one is answered without a message."""
    supply = iter(bodies)
    count = min(connections, in_flight)
    players = [_Player(address, request_headers(path), supply) for _ in range(count)]
    with selectors.DefaultSelector() as selector:
        try:
            for player in players:
                for _ in range(in_flight // count):
                    player.begin()
                player.flush()
                selector.register(player.socket, selectors.EVENT_READ, player)
            while sum(player.answered for player in players) < len(bodies):
                if not (ready := selector.select(timeout=60)):
                    raise CallFailed("no answer for 60 s")
                for key, _ in ready:
                    key.data.receive()
                    key.data.flush()
        finally:
            for player in players:
                player.close()
