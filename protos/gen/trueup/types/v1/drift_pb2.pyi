import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueup.types.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DriftKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_KIND_UNSPECIFIED: _ClassVar[DriftKind]
    DRIFT_KIND_MISSING_LOCALLY: _ClassVar[DriftKind]
    DRIFT_KIND_MISSING_AT_VENUE: _ClassVar[DriftKind]
    DRIFT_KIND_SIZE: _ClassVar[DriftKind]
    DRIFT_KIND_SIDE: _ClassVar[DriftKind]
    DRIFT_KIND_ENTRY_PRICE: _ClassVar[DriftKind]
    DRIFT_KIND_LEVERAGE: _ClassVar[DriftKind]
    DRIFT_KIND_MARGIN_MODE: _ClassVar[DriftKind]
    DRIFT_KIND_LIQUIDATION_PRICE: _ClassVar[DriftKind]
    DRIFT_KIND_UNMAPPED: _ClassVar[DriftKind]
    DRIFT_KIND_OVERDUE: _ClassVar[DriftKind]
    DRIFT_KIND_ALLOCATION: _ClassVar[DriftKind]
    DRIFT_KIND_EQUITY: _ClassVar[DriftKind]

class DriftStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_STATUS_UNSPECIFIED: _ClassVar[DriftStatus]
    DRIFT_STATUS_SUSPECTED: _ClassVar[DriftStatus]
    DRIFT_STATUS_CONFIRMED: _ClassVar[DriftStatus]
    DRIFT_STATUS_ACKNOWLEDGED: _ClassVar[DriftStatus]
    DRIFT_STATUS_SNOOZED: _ClassVar[DriftStatus]
    DRIFT_STATUS_RESOLVED: _ClassVar[DriftStatus]

class DriftSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_SEVERITY_UNSPECIFIED: _ClassVar[DriftSeverity]
    DRIFT_SEVERITY_INFO: _ClassVar[DriftSeverity]
    DRIFT_SEVERITY_WARNING: _ClassVar[DriftSeverity]
    DRIFT_SEVERITY_CRITICAL: _ClassVar[DriftSeverity]

class DriftCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_CAUSE_UNSPECIFIED: _ClassVar[DriftCause]
    DRIFT_CAUSE_MISSED_FILLS: _ClassVar[DriftCause]
    DRIFT_CAUSE_LIQUIDATION: _ClassVar[DriftCause]
    DRIFT_CAUSE_AUTO_DELEVERAGING: _ClassVar[DriftCause]
    DRIFT_CAUSE_CLOSED_AT_VENUE: _ClassVar[DriftCause]
    DRIFT_CAUSE_DUST: _ClassVar[DriftCause]
    DRIFT_CAUSE_FUNDING: _ClassVar[DriftCause]
    DRIFT_CAUSE_FEE_IN_BASE: _ClassVar[DriftCause]
    DRIFT_CAUSE_TRANSFER: _ClassVar[DriftCause]
    DRIFT_CAUSE_SETTING_CHANGED: _ClassVar[DriftCause]
    DRIFT_CAUSE_STALE_SNAPSHOT: _ClassVar[DriftCause]
    DRIFT_CAUSE_UNEXPLAINED: _ClassVar[DriftCause]

class DriftEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_EVENT_TYPE_UNSPECIFIED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_CONFIRMED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_CHANGED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_ACKNOWLEDGED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_SNOOZED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_REOPENED: _ClassVar[DriftEventType]
    DRIFT_EVENT_TYPE_RESOLVED: _ClassVar[DriftEventType]

class CheckOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_OUTCOME_UNSPECIFIED: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_OK: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_FAILED: _ClassVar[CheckOutcome]
    CHECK_OUTCOME_SUSPECT: _ClassVar[CheckOutcome]
DRIFT_KIND_UNSPECIFIED: DriftKind
DRIFT_KIND_MISSING_LOCALLY: DriftKind
DRIFT_KIND_MISSING_AT_VENUE: DriftKind
DRIFT_KIND_SIZE: DriftKind
DRIFT_KIND_SIDE: DriftKind
DRIFT_KIND_ENTRY_PRICE: DriftKind
DRIFT_KIND_LEVERAGE: DriftKind
DRIFT_KIND_MARGIN_MODE: DriftKind
DRIFT_KIND_LIQUIDATION_PRICE: DriftKind
DRIFT_KIND_UNMAPPED: DriftKind
DRIFT_KIND_OVERDUE: DriftKind
DRIFT_KIND_ALLOCATION: DriftKind
DRIFT_KIND_EQUITY: DriftKind
DRIFT_STATUS_UNSPECIFIED: DriftStatus
DRIFT_STATUS_SUSPECTED: DriftStatus
DRIFT_STATUS_CONFIRMED: DriftStatus
DRIFT_STATUS_ACKNOWLEDGED: DriftStatus
DRIFT_STATUS_SNOOZED: DriftStatus
DRIFT_STATUS_RESOLVED: DriftStatus
DRIFT_SEVERITY_UNSPECIFIED: DriftSeverity
DRIFT_SEVERITY_INFO: DriftSeverity
DRIFT_SEVERITY_WARNING: DriftSeverity
DRIFT_SEVERITY_CRITICAL: DriftSeverity
DRIFT_CAUSE_UNSPECIFIED: DriftCause
DRIFT_CAUSE_MISSED_FILLS: DriftCause
DRIFT_CAUSE_LIQUIDATION: DriftCause
DRIFT_CAUSE_AUTO_DELEVERAGING: DriftCause
DRIFT_CAUSE_CLOSED_AT_VENUE: DriftCause
DRIFT_CAUSE_DUST: DriftCause
DRIFT_CAUSE_FUNDING: DriftCause
DRIFT_CAUSE_FEE_IN_BASE: DriftCause
DRIFT_CAUSE_TRANSFER: DriftCause
DRIFT_CAUSE_SETTING_CHANGED: DriftCause
DRIFT_CAUSE_STALE_SNAPSHOT: DriftCause
DRIFT_CAUSE_UNEXPLAINED: DriftCause
DRIFT_EVENT_TYPE_UNSPECIFIED: DriftEventType
DRIFT_EVENT_TYPE_CONFIRMED: DriftEventType
DRIFT_EVENT_TYPE_CHANGED: DriftEventType
DRIFT_EVENT_TYPE_ACKNOWLEDGED: DriftEventType
DRIFT_EVENT_TYPE_SNOOZED: DriftEventType
DRIFT_EVENT_TYPE_REOPENED: DriftEventType
DRIFT_EVENT_TYPE_RESOLVED: DriftEventType
CHECK_OUTCOME_UNSPECIFIED: CheckOutcome
CHECK_OUTCOME_OK: CheckOutcome
CHECK_OUTCOME_FAILED: CheckOutcome
CHECK_OUTCOME_SUSPECT: CheckOutcome

class Observation(_message.Message):
    __slots__ = ("side", "size", "entry_price", "leverage", "margin_mode", "liquidation_price", "mark_price", "observed_at", "revision")
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_MODE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    MARK_PRICE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    side: _types_pb2.Side
    size: str
    entry_price: str
    leverage: str
    margin_mode: _types_pb2.MarginMode
    liquidation_price: str
    mark_price: str
    observed_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., entry_price: _Optional[str] = ..., leverage: _Optional[str] = ..., margin_mode: _Optional[_Union[_types_pb2.MarginMode, str]] = ..., liquidation_price: _Optional[str] = ..., mark_price: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("kind", "id", "time", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    time: _timestamp_pb2.Timestamp
    text: str
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("field", "before", "after")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    field: str
    before: str
    after: str
    def __init__(self, field: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("cause", "text", "evidence", "correction", "estimated")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    cause: DriftCause
    text: str
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    correction: _containers.RepeatedCompositeFieldContainer[Change]
    estimated: bool
    def __init__(self, cause: _Optional[_Union[DriftCause, str]] = ..., text: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ..., correction: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., estimated: _Optional[bool] = ...) -> None: ...

class AllocationTrade(_message.Message):
    __slots__ = ("account", "venue", "symbol", "asset", "is_buy", "size", "notional")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    IS_BUY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    asset: str
    is_buy: bool
    size: str
    notional: str
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., is_buy: _Optional[bool] = ..., size: _Optional[str] = ..., notional: _Optional[str] = ...) -> None: ...

class AllocationState(_message.Message):
    __slots__ = ("target", "actual", "drift", "value", "portfolio_value", "tolerance", "trades")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VALUE_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    target: str
    actual: str
    drift: str
    value: str
    portfolio_value: str
    tolerance: str
    trades: _containers.RepeatedCompositeFieldContainer[AllocationTrade]
    def __init__(self, target: _Optional[str] = ..., actual: _Optional[str] = ..., drift: _Optional[str] = ..., value: _Optional[str] = ..., portfolio_value: _Optional[str] = ..., tolerance: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[AllocationTrade, _Mapping]]] = ...) -> None: ...

class CountedFlow(_message.Message):
    __slots__ = ("flow_id", "scope", "time")
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    scope: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, flow_id: _Optional[str] = ..., scope: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EquityBasis(_message.Message):
    __slots__ = ("unrealized_pnl", "scopes", "revision", "flows_at", "flows")
    class ScopesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _timestamp_pb2.Timestamp
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    UNREALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FLOWS_AT_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    unrealized_pnl: str
    scopes: _containers.MessageMap[str, _timestamp_pb2.Timestamp]
    revision: int
    flows_at: _timestamp_pb2.Timestamp
    flows: _containers.RepeatedCompositeFieldContainer[CountedFlow]
    def __init__(self, unrealized_pnl: _Optional[str] = ..., scopes: _Optional[_Mapping[str, _timestamp_pb2.Timestamp]] = ..., revision: _Optional[int] = ..., flows_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., flows: _Optional[_Iterable[_Union[CountedFlow, _Mapping]]] = ...) -> None: ...

class EquityCheck(_message.Message):
    __slots__ = ("account", "venue", "since", "checked_at", "baseline", "realized_pnl", "cash_flows", "unrealized_change", "expected", "actual", "gap", "tolerance", "confirmed", "basis")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    CASH_FLOWS_FIELD_NUMBER: _ClassVar[int]
    UNREALIZED_CHANGE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    since: _timestamp_pb2.Timestamp
    checked_at: _timestamp_pb2.Timestamp
    baseline: str
    realized_pnl: str
    cash_flows: str
    unrealized_change: str
    expected: str
    actual: str
    gap: str
    tolerance: str
    confirmed: bool
    basis: EquityBasis
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., checked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., baseline: _Optional[str] = ..., realized_pnl: _Optional[str] = ..., cash_flows: _Optional[str] = ..., unrealized_change: _Optional[str] = ..., expected: _Optional[str] = ..., actual: _Optional[str] = ..., gap: _Optional[str] = ..., tolerance: _Optional[str] = ..., confirmed: _Optional[bool] = ..., basis: _Optional[_Union[EquityBasis, _Mapping]] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("drift_id", "kind", "status", "severity", "account", "venue", "symbol", "asset", "product", "position_id", "local", "actual", "size_delta", "notional_delta", "rule", "first_seen", "last_seen", "times_seen", "source", "explanation", "summary", "snoozed_until", "resolution", "actor", "reason", "revision", "run_id", "note", "allocation", "equity", "checked_revision")
    DRIFT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    SIZE_DELTA_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_DELTA_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    TIMES_SEEN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SNOOZED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    EQUITY_FIELD_NUMBER: _ClassVar[int]
    CHECKED_REVISION_FIELD_NUMBER: _ClassVar[int]
    drift_id: str
    kind: DriftKind
    status: DriftStatus
    severity: DriftSeverity
    account: str
    venue: str
    symbol: str
    asset: str
    product: _types_pb2.Product
    position_id: str
    local: Observation
    actual: Observation
    size_delta: str
    notional_delta: str
    rule: str
    first_seen: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    times_seen: int
    source: _types_pb2.Source
    explanation: Explanation
    summary: str
    snoozed_until: _timestamp_pb2.Timestamp
    resolution: str
    actor: str
    reason: str
    revision: int
    run_id: str
    note: str
    allocation: AllocationState
    equity: EquityCheck
    checked_revision: int
    def __init__(self, drift_id: _Optional[str] = ..., kind: _Optional[_Union[DriftKind, str]] = ..., status: _Optional[_Union[DriftStatus, str]] = ..., severity: _Optional[_Union[DriftSeverity, str]] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., product: _Optional[_Union[_types_pb2.Product, str]] = ..., position_id: _Optional[str] = ..., local: _Optional[_Union[Observation, _Mapping]] = ..., actual: _Optional[_Union[Observation, _Mapping]] = ..., size_delta: _Optional[str] = ..., notional_delta: _Optional[str] = ..., rule: _Optional[str] = ..., first_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., times_seen: _Optional[int] = ..., source: _Optional[_Union[_types_pb2.Source, str]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., summary: _Optional[str] = ..., snoozed_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., revision: _Optional[int] = ..., run_id: _Optional[str] = ..., note: _Optional[str] = ..., allocation: _Optional[_Union[AllocationState, _Mapping]] = ..., equity: _Optional[_Union[EquityCheck, _Mapping]] = ..., checked_revision: _Optional[int] = ...) -> None: ...

class DriftEvent(_message.Message):
    __slots__ = ("revision", "time", "type", "drift")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: _timestamp_pb2.Timestamp
    type: DriftEventType
    drift: Drift
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[_Union[DriftEventType, str]] = ..., drift: _Optional[_Union[Drift, _Mapping]] = ...) -> None: ...

class ScopeCheck(_message.Message):
    __slots__ = ("account", "venue", "scope", "product", "symbol_prefix", "outcome", "checked_at", "error", "positions", "suspects")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    scope: str
    product: _types_pb2.Product
    symbol_prefix: str
    outcome: CheckOutcome
    checked_at: _timestamp_pb2.Timestamp
    error: str
    positions: int
    suspects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., scope: _Optional[str] = ..., product: _Optional[_Union[_types_pb2.Product, str]] = ..., symbol_prefix: _Optional[str] = ..., outcome: _Optional[_Union[CheckOutcome, str]] = ..., checked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., positions: _Optional[int] = ..., suspects: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "started_at", "finished_at", "trigger", "source", "checks", "positions_compared", "confirmed", "suspected", "resolved", "local_revision", "equity")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_COMPARED_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    SUSPECTED_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FIELD_NUMBER: _ClassVar[int]
    LOCAL_REVISION_FIELD_NUMBER: _ClassVar[int]
    EQUITY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    trigger: str
    source: _types_pb2.Source
    checks: _containers.RepeatedCompositeFieldContainer[ScopeCheck]
    positions_compared: int
    confirmed: int
    suspected: int
    resolved: int
    local_revision: int
    equity: _containers.RepeatedCompositeFieldContainer[EquityCheck]
    def __init__(self, run_id: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trigger: _Optional[str] = ..., source: _Optional[_Union[_types_pb2.Source, str]] = ..., checks: _Optional[_Iterable[_Union[ScopeCheck, _Mapping]]] = ..., positions_compared: _Optional[int] = ..., confirmed: _Optional[int] = ..., suspected: _Optional[int] = ..., resolved: _Optional[int] = ..., local_revision: _Optional[int] = ..., equity: _Optional[_Iterable[_Union[EquityCheck, _Mapping]]] = ...) -> None: ...

class VenueHealth(_message.Message):
    __slots__ = ("account", "venue", "state", "source", "last_ok_at", "age_ms", "last_error", "budget_left", "positions", "push", "account_mode", "clock_skew_ms", "equity_unchecked")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LAST_OK_AT_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LEFT_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_MODE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    EQUITY_UNCHECKED_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    state: str
    source: _types_pb2.Source
    last_ok_at: _timestamp_pb2.Timestamp
    age_ms: int
    last_error: str
    budget_left: int
    positions: int
    push: PushHealth
    account_mode: str
    clock_skew_ms: int
    equity_unchecked: str
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., state: _Optional[str] = ..., source: _Optional[_Union[_types_pb2.Source, str]] = ..., last_ok_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., age_ms: _Optional[int] = ..., last_error: _Optional[str] = ..., budget_left: _Optional[int] = ..., positions: _Optional[int] = ..., push: _Optional[_Union[PushHealth, _Mapping]] = ..., account_mode: _Optional[str] = ..., clock_skew_ms: _Optional[int] = ..., equity_unchecked: _Optional[str] = ...) -> None: ...

class PushHealth(_message.Message):
    __slots__ = ("state", "up_since", "last_message_at", "message_age_ms", "last_error", "changes")
    STATE_FIELD_NUMBER: _ClassVar[int]
    UP_SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    state: str
    up_since: _timestamp_pb2.Timestamp
    last_message_at: _timestamp_pb2.Timestamp
    message_age_ms: int
    last_error: str
    changes: int
    def __init__(self, state: _Optional[str] = ..., up_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_age_ms: _Optional[int] = ..., last_error: _Optional[str] = ..., changes: _Optional[int] = ...) -> None: ...
