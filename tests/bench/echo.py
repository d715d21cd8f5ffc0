"""The yardstick of calls: a bare grpc.aio server that does nothing but return a message. python -m tests.bench.echo FILE

The file holds {"method": the answer's bytes in hex}. Same server options as ours, generated code, no guard.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc

from grpckit.limits import Limits
from grpckit.server import _options
from tests.bench.machine import listening


class Echo(rpc.PositionServiceServicer):
    """Every method answers with the one message it was given."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self._get = pb.GetPositionResponse.FromString(answers["GetPosition"])
        self._open = pb.OpenPositionResponse.FromString(answers["OpenPosition"])

    async def GetPosition(self, request: pb.GetPositionRequest, context: Any) -> pb.GetPositionResponse:
        return self._get

    async def OpenPosition(self, request: pb.OpenPositionRequest, context: Any) -> pb.OpenPositionResponse:
        return self._open


async def main(sent: dict[str, str]) -> None:
    answers = {name: bytes.fromhex(text) for name, text in sent.items()}
    server = grpc.aio.server(options=_options(Limits()))
    rpc.add_PositionServiceServicer_to_server(Echo(answers), server)
    listening(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
