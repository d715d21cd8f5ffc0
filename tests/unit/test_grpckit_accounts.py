"""Which accounts a request names."""

from __future__ import annotations

import pytest
from trueup.position.v1 import position_service_pb2, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import drift_pb2

from grpckit.accounts import confine
from grpckit.errors import RpcError

Run = reconciliation_log_service_pb2.RecordRunRequest


@pytest.mark.parametrize(
    "request_",
    [
        position_service_pb2.OpenPositionRequest(account="other"),
        reconciler_service_pb2.ReconcileRequest(accounts=["main", "other"]),
        Run(run=drift_pb2.Run(checks=[drift_pb2.ScopeCheck(account="main"), drift_pb2.ScopeCheck(account="other")])),
        Run(findings=[drift_pb2.Drift(account="other")]),
    ],
    ids=lambda request: request.DESCRIPTOR.name,
)
def test_an_account_is_found_however_deep(request_):
    check = confine(type(request_))
    check(request_, frozenset({"main", "other"}))
    check(type(request_)(), frozenset())
    with pytest.raises(RpcError, match="the key does not cover the account other"):
        check(request_, frozenset({"main"}))


def test_a_request_without_accounts_names_none():
    confine(position_service_pb2.UpdatePricesRequest)(position_service_pb2.UpdatePricesRequest(), frozenset())
    confine(None)(b"", frozenset())
