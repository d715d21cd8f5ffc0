"""Clients that are not asynchronous use the same stubs. grpcio-testing can fake the server's side of those."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc_testing
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

SERVICE = pb.DESCRIPTOR.services_by_name["PositionService"]


def test_a_synchronous_client_calls_and_is_answered():
    channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())
    stub = PositionServiceStub(channel)
    with ThreadPoolExecutor(1) as client:
        call = client.submit(stub.GetPosition, pb.GetPositionRequest(asset="BTC/USD"), timeout=10)
        _, request, server = channel.take_unary_unary(SERVICE.methods_by_name["GetPosition"])
        server.send_initial_metadata(())
        server.terminate(pb.GetPositionResponse(revision=7), (), grpc.StatusCode.OK, "")
        assert call.result(10).revision == 7
    assert request == pb.GetPositionRequest(asset="BTC/USD")


def test_a_synchronous_client_follows_a_stream_and_sees_why_it_ended():
    channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())
    stub = PositionServiceStub(channel)
    with ThreadPoolExecutor(1) as client:
        stream = stub.WatchPositions(pb.WatchPositionsRequest(after_revision=6), timeout=10)
        read = client.submit(lambda: [next(stream).revision, next(stream).revision])
        _, request, server = channel.take_unary_stream(SERVICE.methods_by_name["WatchPositions"])
        assert request.after_revision == 6
        server.send_initial_metadata(())
        for revision in (7, 9):
            server.send_response(pb.WatchPositionsResponse(revision=revision))
        assert read.result(10) == [7, 9]
        server.terminate((), grpc.StatusCode.UNAVAILABLE, "draining")
        ended = client.submit(stream.code)
        assert ended.result(10) is grpc.StatusCode.UNAVAILABLE
