import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueup.types.v1 import drift_pb2 as _drift_pb2
from trueup.types.v1 import rules_pb2 as _rules_pb2
from trueup.types.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AllocationBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALLOCATION_BASIS_UNSPECIFIED: _ClassVar[AllocationBasis]
    ALLOCATION_BASIS_VENUE: _ClassVar[AllocationBasis]
    ALLOCATION_BASIS_BOOK: _ClassVar[AllocationBasis]

class ResolveAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOLVE_ACTION_UNSPECIFIED: _ClassVar[ResolveAction]
    RESOLVE_ACTION_ADOPT_VENUE: _ClassVar[ResolveAction]
    RESOLVE_ACTION_APPLY_FILLS: _ClassVar[ResolveAction]
    RESOLVE_ACTION_KEEP_LOCAL: _ClassVar[ResolveAction]
    RESOLVE_ACTION_DISMISS: _ClassVar[ResolveAction]
ALLOCATION_BASIS_UNSPECIFIED: AllocationBasis
ALLOCATION_BASIS_VENUE: AllocationBasis
ALLOCATION_BASIS_BOOK: AllocationBasis
RESOLVE_ACTION_UNSPECIFIED: ResolveAction
RESOLVE_ACTION_ADOPT_VENUE: ResolveAction
RESOLVE_ACTION_APPLY_FILLS: ResolveAction
RESOLVE_ACTION_KEEP_LOCAL: ResolveAction
RESOLVE_ACTION_DISMISS: ResolveAction

class VenueView(_message.Message):
    __slots__ = ("positions", "allocation", "timestamp")
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    positions: int
    allocation: str
    timestamp: _timestamp_pb2.Timestamp
    def __init__(self, positions: _Optional[int] = ..., allocation: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("venues", "accounts", "dry_run")
    VENUES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    venues: _containers.RepeatedScalarFieldContainer[str]
    accounts: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    def __init__(self, venues: _Optional[_Iterable[str]] = ..., accounts: _Optional[_Iterable[str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("run", "drifts", "revision", "timestamp", "exchanges", "total_positions", "assets", "other_runs")
    class ExchangesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: VenueView
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[VenueView, _Mapping]] = ...) -> None: ...
    RUN_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    OTHER_RUNS_FIELD_NUMBER: _ClassVar[int]
    run: _drift_pb2.Run
    drifts: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Drift]
    revision: int
    timestamp: _timestamp_pb2.Timestamp
    exchanges: _containers.MessageMap[str, VenueView]
    total_positions: int
    assets: _containers.RepeatedScalarFieldContainer[str]
    other_runs: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Run]
    def __init__(self, run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ..., drifts: _Optional[_Iterable[_Union[_drift_pb2.Drift, _Mapping]]] = ..., revision: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exchanges: _Optional[_Mapping[str, VenueView]] = ..., total_positions: _Optional[int] = ..., assets: _Optional[_Iterable[str]] = ..., other_runs: _Optional[_Iterable[_Union[_drift_pb2.Run, _Mapping]]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("timestamp", "active", "venues", "last_run", "open_drifts", "suspected", "interval_ms", "source", "position_service_ok", "exchanges", "total_positions", "assets")
    class ExchangesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: VenueView
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[VenueView, _Mapping]] = ...) -> None: ...
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    VENUES_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_FIELD_NUMBER: _ClassVar[int]
    OPEN_DRIFTS_FIELD_NUMBER: _ClassVar[int]
    SUSPECTED_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_SERVICE_OK_FIELD_NUMBER: _ClassVar[int]
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    timestamp: _timestamp_pb2.Timestamp
    active: bool
    venues: _containers.RepeatedCompositeFieldContainer[_drift_pb2.VenueHealth]
    last_run: _drift_pb2.Run
    open_drifts: int
    suspected: int
    interval_ms: int
    source: _types_pb2.Source
    position_service_ok: bool
    exchanges: _containers.MessageMap[str, VenueView]
    total_positions: int
    assets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., active: _Optional[bool] = ..., venues: _Optional[_Iterable[_Union[_drift_pb2.VenueHealth, _Mapping]]] = ..., last_run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ..., open_drifts: _Optional[int] = ..., suspected: _Optional[int] = ..., interval_ms: _Optional[int] = ..., source: _Optional[_Union[_types_pb2.Source, str]] = ..., position_service_ok: _Optional[bool] = ..., exchanges: _Optional[_Mapping[str, VenueView]] = ..., total_positions: _Optional[int] = ..., assets: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLastRunRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLastRunResponse(_message.Message):
    __slots__ = ("run", "timestamp", "exchanges", "total_positions", "assets")
    class ExchangesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: VenueView
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[VenueView, _Mapping]] = ...) -> None: ...
    RUN_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    run: _drift_pb2.Run
    timestamp: _timestamp_pb2.Timestamp
    exchanges: _containers.MessageMap[str, VenueView]
    total_positions: int
    assets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run: _Optional[_Union[_drift_pb2.Run, _Mapping]] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exchanges: _Optional[_Mapping[str, VenueView]] = ..., total_positions: _Optional[int] = ..., assets: _Optional[_Iterable[str]] = ...) -> None: ...

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

class VenueAllocation(_message.Message):
    __slots__ = ("target", "actual", "drift", "within_tolerance", "value", "configured", "basis", "observed_at", "booked_value")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    WITHIN_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    BOOKED_VALUE_FIELD_NUMBER: _ClassVar[int]
    target: str
    actual: str
    drift: str
    within_tolerance: bool
    value: str
    configured: bool
    basis: AllocationBasis
    observed_at: _timestamp_pb2.Timestamp
    booked_value: str
    def __init__(self, target: _Optional[str] = ..., actual: _Optional[str] = ..., drift: _Optional[str] = ..., within_tolerance: _Optional[bool] = ..., value: _Optional[str] = ..., configured: _Optional[bool] = ..., basis: _Optional[_Union[AllocationBasis, str]] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., booked_value: _Optional[str] = ...) -> None: ...

class ValidateAllocationRequest(_message.Message):
    __slots__ = ("portfolio_value", "account")
    PORTFOLIO_VALUE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    portfolio_value: str
    account: str
    def __init__(self, portfolio_value: _Optional[str] = ..., account: _Optional[str] = ...) -> None: ...

class ValidateAllocationResponse(_message.Message):
    __slots__ = ("allocations", "portfolio_value", "tolerance", "trades")
    class AllocationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: VenueAllocation
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[VenueAllocation, _Mapping]] = ...) -> None: ...
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VALUE_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    allocations: _containers.MessageMap[str, VenueAllocation]
    portfolio_value: str
    tolerance: str
    trades: _containers.RepeatedCompositeFieldContainer[_drift_pb2.AllocationTrade]
    def __init__(self, allocations: _Optional[_Mapping[str, VenueAllocation]] = ..., portfolio_value: _Optional[str] = ..., tolerance: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[_drift_pb2.AllocationTrade, _Mapping]]] = ...) -> None: ...

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

class ListDriftHistoryRequest(_message.Message):
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

class ListDriftHistoryResponse(_message.Message):
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

class AcknowledgeDriftRequest(_message.Message):
    __slots__ = ("drift_id", "reason", "request_id", "expected_revision", "dry_run")
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    reason: str
    request_id: str
    expected_revision: int
    dry_run: bool
    def __init__(self, drift_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class AcknowledgeDriftResponse(_message.Message):
    __slots__ = ("drift", "revision")
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    drift: _drift_pb2.Drift
    revision: int
    def __init__(self, drift: _Optional[_Union[_drift_pb2.Drift, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class SnoozeDriftRequest(_message.Message):
    __slots__ = ("drift_id", "reason", "request_id", "expected_revision", "until", "dry_run")
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    reason: str
    request_id: str
    expected_revision: int
    until: _timestamp_pb2.Timestamp
    dry_run: bool
    def __init__(self, drift_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class SnoozeDriftResponse(_message.Message):
    __slots__ = ("drift", "revision")
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    drift: _drift_pb2.Drift
    revision: int
    def __init__(self, drift: _Optional[_Union[_drift_pb2.Drift, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ResolveDriftRequest(_message.Message):
    __slots__ = ("drift_id", "reason", "request_id", "expected_revision", "action", "dry_run")
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    reason: str
    request_id: str
    expected_revision: int
    action: ResolveAction
    dry_run: bool
    def __init__(self, drift_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., action: _Optional[_Union[ResolveAction, str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ResolveDriftResponse(_message.Message):
    __slots__ = ("drift", "revision", "correction", "estimated", "assumed_price")
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_PRICE_FIELD_NUMBER: _ClassVar[int]
    drift: _drift_pb2.Drift
    revision: int
    correction: _containers.RepeatedCompositeFieldContainer[_drift_pb2.Change]
    estimated: bool
    assumed_price: str
    def __init__(self, drift: _Optional[_Union[_drift_pb2.Drift, _Mapping]] = ..., revision: _Optional[int] = ..., correction: _Optional[_Iterable[_Union[_drift_pb2.Change, _Mapping]]] = ..., estimated: _Optional[bool] = ..., assumed_price: _Optional[str] = ...) -> None: ...

class StreamDriftEventsRequest(_message.Message):
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

class StreamDriftEventsResponse(_message.Message):
    __slots__ = ("phase", "revision", "events", "snapshot_end", "venues")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    VENUES_FIELD_NUMBER: _ClassVar[int]
    phase: _types_pb2.StreamPhase
    revision: int
    events: _containers.RepeatedCompositeFieldContainer[_drift_pb2.DriftEvent]
    snapshot_end: bool
    venues: _containers.RepeatedCompositeFieldContainer[_drift_pb2.VenueHealth]
    def __init__(self, phase: _Optional[_Union[_types_pb2.StreamPhase, str]] = ..., revision: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_drift_pb2.DriftEvent, _Mapping]]] = ..., snapshot_end: _Optional[bool] = ..., venues: _Optional[_Iterable[_Union[_drift_pb2.VenueHealth, _Mapping]]] = ...) -> None: ...

class ListVenuesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVenuesResponse(_message.Message):
    __slots__ = ("venues",)
    VENUES_FIELD_NUMBER: _ClassVar[int]
    venues: _containers.RepeatedCompositeFieldContainer[_drift_pb2.VenueHealth]
    def __init__(self, venues: _Optional[_Iterable[_Union[_drift_pb2.VenueHealth, _Mapping]]] = ...) -> None: ...
