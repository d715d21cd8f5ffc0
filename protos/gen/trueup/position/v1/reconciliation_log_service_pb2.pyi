import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueup.types.v1 import drift_pb2 as _drift_pb2
from trueup.types.v1 import rules_pb2 as _rules_pb2
from trueup.types.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordRunRequest(_message.Message):
    __slots__ = ("run", "findings", "resolved_drift_ids")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_DRIFT_IDS_FIELD_NUMBER: _ClassVar[int]
    run: _drift_pb2.Run
    findings: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Drift]
    resolved_drift_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ..., findings: _Optional[_Iterable[_Union[_drift_pb2.Drift, _Mapping]]] = ..., resolved_drift_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RecordRunResponse(_message.Message):
    __slots__ = ("run", "drifts", "revision")
    RUN_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    run: _drift_pb2.Run
    drifts: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Drift]
    revision: int
    def __init__(self, run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ..., drifts: _Optional[_Iterable[_Union[_drift_pb2.Drift, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class HoldingLiquidation(_message.Message):
    __slots__ = ("symbol", "side", "size", "price")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    side: _types_pb2.Side
    size: str
    price: str
    def __init__(self, symbol: _Optional[str] = ..., side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., price: _Optional[str] = ...) -> None: ...

class RecordLiquidationPricesRequest(_message.Message):
    __slots__ = ("account", "venue", "observed_at", "holdings")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    observed_at: _timestamp_pb2.Timestamp
    holdings: _containers.RepeatedCompositeFieldContainer[HoldingLiquidation]
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holdings: _Optional[_Iterable[_Union[HoldingLiquidation, _Mapping]]] = ...) -> None: ...

class RecordLiquidationPricesResponse(_message.Message):
    __slots__ = ("applied", "ignored", "revision")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    applied: int
    ignored: int
    revision: int
    def __init__(self, applied: _Optional[int] = ..., ignored: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[_drift_pb2.Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _drift_pb2.Run
    def __init__(self, run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ...) -> None: ...

class ListDriftsRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "kinds", "statuses", "page_size", "page_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    kinds: _containers.RepeatedScalarFieldContainer[_drift_pb2.DriftKind]
    statuses: _containers.RepeatedScalarFieldContainer[_drift_pb2.DriftStatus]
    page_size: int
    page_token: str
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_drift_pb2.DriftKind, str]]] = ..., statuses: _Optional[_Iterable[_Union[_drift_pb2.DriftStatus, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDriftsResponse(_message.Message):
    __slots__ = ("drifts", "next_page_token", "revision")
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    drifts: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Drift]
    next_page_token: str
    revision: int
    def __init__(self, drifts: _Optional[_Iterable[_Union[_drift_pb2.Drift, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetDriftRequest(_message.Message):
    __slots__ = ("drift_id",)
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    def __init__(self, drift_id: _Optional[str] = ...) -> None: ...

class GetDriftResponse(_message.Message):
    __slots__ = ("drift", "revision")
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    drift: _drift_pb2.Drift
    revision: int
    def __init__(self, drift: _Optional[_Union[_drift_pb2.Drift, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class TransitionDriftRequest(_message.Message):
    __slots__ = ("drift_id", "status", "snoozed_until", "resolution", "reason", "request_id", "expected_revision", "dry_run")
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SNOOZED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    status: _drift_pb2.DriftStatus
    snoozed_until: _timestamp_pb2.Timestamp
    resolution: str
    reason: str
    request_id: str
    expected_revision: int
    dry_run: bool
    def __init__(self, drift_id: _Optional[str] = ..., status: _Optional[_Union[_drift_pb2.DriftStatus, str]] = ..., snoozed_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class TransitionDriftResponse(_message.Message):
    __slots__ = ("drift", "revision")
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    drift: _drift_pb2.Drift
    revision: int
    def __init__(self, drift: _Optional[_Union[_drift_pb2.Drift, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchDriftsRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "kinds", "after_revision", "include_open")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_OPEN_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    kinds: _containers.RepeatedScalarFieldContainer[_drift_pb2.DriftKind]
    after_revision: int
    include_open: bool
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_drift_pb2.DriftKind, str]]] = ..., after_revision: _Optional[int] = ..., include_open: _Optional[bool] = ...) -> None: ...

class WatchDriftsResponse(_message.Message):
    __slots__ = ("phase", "revision", "events", "snapshot_end")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    phase: _types_pb2.StreamPhase
    revision: int
    events: _containers.RepeatedCompositeFieldContainer[_drift_pb2.DriftEvent]
    snapshot_end: bool
    def __init__(self, phase: _Optional[_Union[_types_pb2.StreamPhase, str]] = ..., revision: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_drift_pb2.DriftEvent, _Mapping]]] = ..., snapshot_end: _Optional[bool] = ...) -> None: ...

class AcquireLeaseRequest(_message.Message):
    __slots__ = ("name", "holder", "ttl_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder: str
    ttl_ms: int
    def __init__(self, name: _Optional[str] = ..., holder: _Optional[str] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class AcquireLeaseResponse(_message.Message):
    __slots__ = ("acquired", "holder", "expires_at", "fence")
    ACQUIRED_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    acquired: bool
    holder: str
    expires_at: _timestamp_pb2.Timestamp
    fence: int
    def __init__(self, acquired: _Optional[bool] = ..., holder: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fence: _Optional[int] = ...) -> None: ...
