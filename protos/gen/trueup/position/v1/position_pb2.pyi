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

class PositionStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POSITION_STATUS_UNSPECIFIED: _ClassVar[PositionStatus]
    POSITION_STATUS_OPENING: _ClassVar[PositionStatus]
    POSITION_STATUS_OPEN: _ClassVar[PositionStatus]
    POSITION_STATUS_REDUCED: _ClassVar[PositionStatus]
    POSITION_STATUS_CLOSING: _ClassVar[PositionStatus]
    POSITION_STATUS_CLOSED: _ClassVar[PositionStatus]
    POSITION_STATUS_LIQUIDATED: _ClassVar[PositionStatus]

class ReconciliationStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECONCILIATION_STATUS_UNSPECIFIED: _ClassVar[ReconciliationStatus]
    RECONCILIATION_STATUS_SYNCED: _ClassVar[ReconciliationStatus]
    RECONCILIATION_STATUS_DRIFT: _ClassVar[ReconciliationStatus]
    RECONCILIATION_STATUS_FAILED: _ClassVar[ReconciliationStatus]
    RECONCILIATION_STATUS_PENDING: _ClassVar[ReconciliationStatus]

class EstimateKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMATE_KIND_UNSPECIFIED: _ClassVar[EstimateKind]
    ESTIMATE_KIND_CLOSED: _ClassVar[EstimateKind]
    ESTIMATE_KIND_OPENED: _ClassVar[EstimateKind]
    ESTIMATE_KIND_SPENT: _ClassVar[EstimateKind]

class PositionEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POSITION_EVENT_TYPE_UNSPECIFIED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_OPENING: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_OPENED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_OPEN_CONFIRMED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_OPEN_CANCELLED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_INCREASED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_REDUCED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_CLOSING: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_CLOSE_CANCELLED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_CLOSED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_LIQUIDATED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_UPDATED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_ADJUSTED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_RISK_ENTERED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_RISK_LEFT: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_REVERSED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_RESTATED: _ClassVar[PositionEventType]
    POSITION_EVENT_TYPE_FUNDING: _ClassVar[PositionEventType]
POSITION_STATUS_UNSPECIFIED: PositionStatus
POSITION_STATUS_OPENING: PositionStatus
POSITION_STATUS_OPEN: PositionStatus
POSITION_STATUS_REDUCED: PositionStatus
POSITION_STATUS_CLOSING: PositionStatus
POSITION_STATUS_CLOSED: PositionStatus
POSITION_STATUS_LIQUIDATED: PositionStatus
RECONCILIATION_STATUS_UNSPECIFIED: ReconciliationStatus
RECONCILIATION_STATUS_SYNCED: ReconciliationStatus
RECONCILIATION_STATUS_DRIFT: ReconciliationStatus
RECONCILIATION_STATUS_FAILED: ReconciliationStatus
RECONCILIATION_STATUS_PENDING: ReconciliationStatus
ESTIMATE_KIND_UNSPECIFIED: EstimateKind
ESTIMATE_KIND_CLOSED: EstimateKind
ESTIMATE_KIND_OPENED: EstimateKind
ESTIMATE_KIND_SPENT: EstimateKind
POSITION_EVENT_TYPE_UNSPECIFIED: PositionEventType
POSITION_EVENT_TYPE_OPENING: PositionEventType
POSITION_EVENT_TYPE_OPENED: PositionEventType
POSITION_EVENT_TYPE_OPEN_CONFIRMED: PositionEventType
POSITION_EVENT_TYPE_OPEN_CANCELLED: PositionEventType
POSITION_EVENT_TYPE_INCREASED: PositionEventType
POSITION_EVENT_TYPE_REDUCED: PositionEventType
POSITION_EVENT_TYPE_CLOSING: PositionEventType
POSITION_EVENT_TYPE_CLOSE_CANCELLED: PositionEventType
POSITION_EVENT_TYPE_CLOSED: PositionEventType
POSITION_EVENT_TYPE_LIQUIDATED: PositionEventType
POSITION_EVENT_TYPE_UPDATED: PositionEventType
POSITION_EVENT_TYPE_ADJUSTED: PositionEventType
POSITION_EVENT_TYPE_RISK_ENTERED: PositionEventType
POSITION_EVENT_TYPE_RISK_LEFT: PositionEventType
POSITION_EVENT_TYPE_REVERSED: PositionEventType
POSITION_EVENT_TYPE_RESTATED: PositionEventType
POSITION_EVENT_TYPE_FUNDING: PositionEventType

class Position(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "product", "side", "size", "entry_price", "status", "leverage", "margin_mode", "liquidation_price", "realized_pnl", "other_fees", "labels", "opened_at", "updated_at", "closed_at", "deadline", "revision", "cost_basis", "peak_size", "estimated_pnl", "mark_price", "mark_observed_at", "unrealized_pnl", "pnl_percent", "return_on_margin", "notional_value", "initial_margin", "liquidation_distance_percent", "at_risk", "reconciliation_status", "last_reconciled_at", "funding", "other_funding", "estimates", "estimated_liquidation_price", "margin_ratio", "venue_liquidation_price", "venue_liquidation_observed_at")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_MODE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    OTHER_FEES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    COST_BASIS_FIELD_NUMBER: _ClassVar[int]
    PEAK_SIZE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_PNL_FIELD_NUMBER: _ClassVar[int]
    MARK_PRICE_FIELD_NUMBER: _ClassVar[int]
    MARK_OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    UNREALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    PNL_PERCENT_FIELD_NUMBER: _ClassVar[int]
    RETURN_ON_MARGIN_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_DISTANCE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    RECONCILIATION_STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECONCILED_AT_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    OTHER_FUNDING_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_RATIO_FIELD_NUMBER: _ClassVar[int]
    VENUE_LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    VENUE_LIQUIDATION_OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    product: _types_pb2.Product
    side: _types_pb2.Side
    size: str
    entry_price: str
    status: PositionStatus
    leverage: str
    margin_mode: _types_pb2.MarginMode
    liquidation_price: str
    realized_pnl: str
    other_fees: _containers.RepeatedCompositeFieldContainer[_types_pb2.Fee]
    labels: _containers.ScalarMap[str, str]
    opened_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    closed_at: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    revision: int
    cost_basis: str
    peak_size: str
    estimated_pnl: str
    mark_price: str
    mark_observed_at: _timestamp_pb2.Timestamp
    unrealized_pnl: str
    pnl_percent: str
    return_on_margin: str
    notional_value: str
    initial_margin: str
    liquidation_distance_percent: str
    at_risk: bool
    reconciliation_status: ReconciliationStatus
    last_reconciled_at: _timestamp_pb2.Timestamp
    funding: str
    other_funding: _containers.RepeatedCompositeFieldContainer[FundingTotal]
    estimates: _containers.RepeatedCompositeFieldContainer[Estimate]
    estimated_liquidation_price: str
    margin_ratio: str
    venue_liquidation_price: str
    venue_liquidation_observed_at: _timestamp_pb2.Timestamp
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., product: _Optional[_Union[_types_pb2.Product, str]] = ..., side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., entry_price: _Optional[str] = ..., status: _Optional[_Union[PositionStatus, str]] = ..., leverage: _Optional[str] = ..., margin_mode: _Optional[_Union[_types_pb2.MarginMode, str]] = ..., liquidation_price: _Optional[str] = ..., realized_pnl: _Optional[str] = ..., other_fees: _Optional[_Iterable[_Union[_types_pb2.Fee, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., cost_basis: _Optional[str] = ..., peak_size: _Optional[str] = ..., estimated_pnl: _Optional[str] = ..., mark_price: _Optional[str] = ..., mark_observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unrealized_pnl: _Optional[str] = ..., pnl_percent: _Optional[str] = ..., return_on_margin: _Optional[str] = ..., notional_value: _Optional[str] = ..., initial_margin: _Optional[str] = ..., liquidation_distance_percent: _Optional[str] = ..., at_risk: _Optional[bool] = ..., reconciliation_status: _Optional[_Union[ReconciliationStatus, str]] = ..., last_reconciled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., funding: _Optional[str] = ..., other_funding: _Optional[_Iterable[_Union[FundingTotal, _Mapping]]] = ..., estimates: _Optional[_Iterable[_Union[Estimate, _Mapping]]] = ..., estimated_liquidation_price: _Optional[str] = ..., margin_ratio: _Optional[str] = ..., venue_liquidation_price: _Optional[str] = ..., venue_liquidation_observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FundingTotal(_message.Message):
    __slots__ = ("currency", "amount")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    currency: str
    amount: str
    def __init__(self, currency: _Optional[str] = ..., amount: _Optional[str] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("revision", "time", "side", "size", "price", "kind")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: _timestamp_pb2.Timestamp
    side: _types_pb2.Side
    size: str
    price: str
    kind: EstimateKind
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., price: _Optional[str] = ..., kind: _Optional[_Union[EstimateKind, str]] = ...) -> None: ...

class Trade(_message.Message):
    __slots__ = ("size", "price", "fee", "realized_pnl", "fill_id", "executed_at", "funding")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    FILL_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_AT_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    size: str
    price: str
    fee: _types_pb2.Fee
    realized_pnl: str
    fill_id: str
    executed_at: _timestamp_pb2.Timestamp
    funding: Funding
    def __init__(self, size: _Optional[str] = ..., price: _Optional[str] = ..., fee: _Optional[_Union[_types_pb2.Fee, _Mapping]] = ..., realized_pnl: _Optional[str] = ..., fill_id: _Optional[str] = ..., executed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., funding: _Optional[_Union[Funding, _Mapping]] = ...) -> None: ...

class Funding(_message.Message):
    __slots__ = ("payment_id", "amount", "currency", "rate")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    amount: str
    currency: str
    rate: str
    def __init__(self, payment_id: _Optional[str] = ..., amount: _Optional[str] = ..., currency: _Optional[str] = ..., rate: _Optional[str] = ...) -> None: ...

class PositionEvent(_message.Message):
    __slots__ = ("revision", "time", "type", "position_id", "account", "actor", "request_id", "reason", "trade", "before", "after", "hash", "note")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TRADE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: _timestamp_pb2.Timestamp
    type: PositionEventType
    position_id: str
    account: str
    actor: str
    request_id: str
    reason: str
    trade: Trade
    before: Position
    after: Position
    hash: bytes
    note: str
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[_Union[PositionEventType, str]] = ..., position_id: _Optional[str] = ..., account: _Optional[str] = ..., actor: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ..., trade: _Optional[_Union[Trade, _Mapping]] = ..., before: _Optional[_Union[Position, _Mapping]] = ..., after: _Optional[_Union[Position, _Mapping]] = ..., hash: _Optional[bytes] = ..., note: _Optional[str] = ...) -> None: ...
