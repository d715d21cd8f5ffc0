"""What to paste into another terminal: calls of both services, with all that their settings ask of a caller."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from trueup.position.v1 import position_service_pb2

KEY = "TRUEUP_KEY"  # the variable that holds an API key, for `trueup` too
CONTRACTS = Path(position_service_pb2.__file__).parents[2] / "plain.binpb"


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller needs. Without ``ca`` no TLS is spoken; ``certificate`` and its key are the caller's own (mTLS)."""

    ca: Path | None = None
    certificate: tuple[Path, Path] | None = None
    wants_key: bool = False
    key_file: Path | None = None  # where a key is, if in a file
    reflects: bool = True  # else grpcurl must be given the contracts

    def lines(self, *, position: str, reconciler: str, http: str) -> list[str]:
        """Commands for a shell; of the HTTP edge none without its address. No secret stands in them."""
        grpc = " ".join([grpcurl(), *self._grpcurl()])
        stream = f"{reconciler} trueup.reconciler.v1.ReconcilerService/StreamDriftEvents"
        lines = [f'export {KEY}="$(cat {_quoted(self.key_file)})"'] if self.key_file else []
        lines += [
            f"{grpc} {stream}",
            f"{grpc} -d '{{\"include_open\": true}}' {stream}",
            f"{grpc} {position} trueup.position.v1.PositionService/ListPositions",
            f"{grpc} {reconciler} list",
        ]
        if http:
            url = f"http{'s' if self.ca else ''}://{http}"
            lines += [
                f"{self._curl()} {url}/api/positions/active",
                f"{self._curl()} -N '{url}/v1/drifts:stream?include_open=true'",
            ]
        return lines

    def _grpcurl(self) -> list[str]:
        options = [f"-cacert {_quoted(self.ca)}"] if self.ca else ["-plaintext"]
        if self.certificate:
            options.append("-cert {} -key {}".format(*map(_quoted, self.certificate)))
        if not self.reflects:
            options.append(f"-protoset {_quoted(CONTRACTS)}")
        if self.wants_key:
            options.append(f"-expand-headers -H 'x-api-key: ${{{KEY}}}'")
        return options

    def _curl(self) -> str:
        """A key on a command line could be read by everybody on the machine: it comes by a pipe."""
        options = [f"--cacert {_quoted(self.ca)}"] if self.ca else []
        if self.certificate:
            options.append("--cert {} --key {}".format(*map(_quoted, self.certificate)))
        if not self.wants_key:
            return " ".join(["curl", *options])
        return " ".join([f"printf 'x-api-key: %s' \"${KEY}\" | curl", *options, "-H @-"])


def grpcurl() -> str:
    """How to call grpcurl from here: the one beside this Python, or the one of the system."""
    beside = Path(sys.executable).parent / "grpcurl"
    if not beside.exists():
        return "grpcurl"
    here = Path.cwd()
    path = beside.relative_to(here) if beside.is_relative_to(here) else beside
    return "grpcurl" if shutil.which("grpcurl") == str(beside) else str(path)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path.expanduser().absolute()))
