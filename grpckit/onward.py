"""What a call to another service takes along of the call it is made in: its request id, and its trace if there is one."""

from __future__ import annotations

from typing import Any

import grpc

from grpckit import tracing
from grpckit.call import REQUEST_ID
from grpckit.caller import request_id


class Onward(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    """Passes the request id on with every unary call of a channel; a call that names one itself keeps it."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Makes the call."""
        identifier, metadata = request_id(), tuple(client_call_details.metadata or ())
        if identifier and all(name != REQUEST_ID for name, _ in metadata):
            more = grpc.aio.Metadata(*metadata, (REQUEST_ID, identifier))
            client_call_details = client_call_details._replace(metadata=more)
        if tracing.active is not None:
            carried = grpc.aio.Metadata(*(client_call_details.metadata or ()), *tracing.active.carried())
            client_call_details = client_call_details._replace(metadata=carried)
        return await continuation(client_call_details, request)
