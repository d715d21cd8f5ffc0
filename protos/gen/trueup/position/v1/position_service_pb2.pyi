import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trueup.position.v1 import position_pb2 as _position_pb2
from trueup.types.v1 import rules_pb2 as _rules_pb2
from trueup.types.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenPositionRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "asset", "request_id", "reason", "product", "side", "size", "entry_price", "leverage", "margin_mode", "liquidation_price", "fee", "fee_currency", "labels", "pending", "deadline", "estimated", "as_of")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_MODE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    reason: str
    product: _types_pb2.Product
    side: _types_pb2.Side
    size: str
    entry_price: str
    leverage: str
    margin_mode: _types_pb2.MarginMode
    liquidation_price: str
    fee: str
    fee_currency: str
    labels: _containers.ScalarMap[str, str]
    pending: bool
    deadline: _timestamp_pb2.Timestamp
    estimated: bool
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ..., product: _Optional[_Union[_types_pb2.Product, str]] = ..., side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., entry_price: _Optional[str] = ..., leverage: _Optional[str] = ..., margin_mode: _Optional[_Union[_types_pb2.MarginMode, str]] = ..., liquidation_price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., pending: _Optional[bool] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., estimated: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OpenPositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ConfirmOpenRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "size", "entry_price", "fee", "fee_currency", "estimated", "as_of")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    size: str
    entry_price: str
    fee: str
    fee_currency: str
    estimated: bool
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., size: _Optional[str] = ..., entry_price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ..., estimated: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ConfirmOpenResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class CancelOpenRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelOpenResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class IncreasePositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "size", "price", "fee", "fee_currency")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    size: str
    price: str
    fee: str
    fee_currency: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., size: _Optional[str] = ..., price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ...) -> None: ...

class IncreasePositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ReducePositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "size", "price", "fee", "fee_currency")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    size: str
    price: str
    fee: str
    fee_currency: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., size: _Optional[str] = ..., price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ...) -> None: ...

class ReducePositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ClosePositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "close_price", "fee", "fee_currency", "deadline")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CLOSE_PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    close_price: str
    fee: str
    fee_currency: str
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., close_price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ClosePositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ConfirmCloseRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "size", "close_price", "fee", "fee_currency")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    size: str
    close_price: str
    fee: str
    fee_currency: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., size: _Optional[str] = ..., close_price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ...) -> None: ...

class ConfirmCloseResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class CancelCloseRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelCloseResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class LiquidatePositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "liquidation_price", "size", "fee", "fee_currency")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    liquidation_price: str
    size: str
    fee: str
    fee_currency: str
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., liquidation_price: _Optional[str] = ..., size: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ...) -> None: ...

class LiquidatePositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class UpdatePositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "leverage", "margin_mode", "liquidation_price", "labels", "replace_labels")
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
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_MODE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_PRICE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REPLACE_LABELS_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    leverage: str
    margin_mode: _types_pb2.MarginMode
    liquidation_price: str
    labels: _containers.ScalarMap[str, str]
    replace_labels: bool
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., leverage: _Optional[str] = ..., margin_mode: _Optional[_Union[_types_pb2.MarginMode, str]] = ..., liquidation_price: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., replace_labels: _Optional[bool] = ...) -> None: ...

class UpdatePositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class AdjustPositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "request_id", "expected_revision", "reason", "side", "size", "entry_price", "close_price", "reason_code", "evidence", "corrects_revision", "estimated", "as_of")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_PRICE_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CORRECTS_REVISION_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    request_id: str
    expected_revision: int
    reason: str
    side: _types_pb2.Side
    size: str
    entry_price: str
    close_price: str
    reason_code: str
    evidence: str
    corrects_revision: int
    estimated: bool
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_revision: _Optional[int] = ..., reason: _Optional[str] = ..., side: _Optional[_Union[_types_pb2.Side, str]] = ..., size: _Optional[str] = ..., entry_price: _Optional[str] = ..., close_price: _Optional[str] = ..., reason_code: _Optional[str] = ..., evidence: _Optional[str] = ..., corrects_revision: _Optional[int] = ..., estimated: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AdjustPositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class Fill(_message.Message):
    __slots__ = ("venue", "symbol", "asset", "product", "fill_id", "is_buy", "size", "price", "fee", "fee_currency", "executed_at", "leverage", "liquidation")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    FILL_ID_FIELD_NUMBER: _ClassVar[int]
    IS_BUY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_AT_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDATION_FIELD_NUMBER: _ClassVar[int]
    venue: str
    symbol: str
    asset: str
    product: _types_pb2.Product
    fill_id: str
    is_buy: bool
    size: str
    price: str
    fee: str
    fee_currency: str
    executed_at: _timestamp_pb2.Timestamp
    leverage: str
    liquidation: bool
    def __init__(self, venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., product: _Optional[_Union[_types_pb2.Product, str]] = ..., fill_id: _Optional[str] = ..., is_buy: _Optional[bool] = ..., size: _Optional[str] = ..., price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ..., executed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., leverage: _Optional[str] = ..., liquidation: _Optional[bool] = ...) -> None: ...

class FundingPayment(_message.Message):
    __slots__ = ("venue", "symbol", "asset", "payment_id", "amount", "currency", "rate", "paid_at")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    PAID_AT_FIELD_NUMBER: _ClassVar[int]
    venue: str
    symbol: str
    asset: str
    payment_id: str
    amount: str
    currency: str
    rate: str
    paid_at: _timestamp_pb2.Timestamp
    def __init__(self, venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[str] = ..., currency: _Optional[str] = ..., rate: _Optional[str] = ..., paid_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExpectedRevision(_message.Message):
    __slots__ = ("venue", "symbol", "asset", "revision")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    venue: str
    symbol: str
    asset: str
    revision: int
    def __init__(self, venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class RecordFillsRequest(_message.Message):
    __slots__ = ("account", "request_id", "fills", "reason", "funding", "expected_revisions")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FILLS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISIONS_FIELD_NUMBER: _ClassVar[int]
    account: str
    request_id: str
    fills: _containers.RepeatedCompositeFieldContainer[Fill]
    reason: str
    funding: _containers.RepeatedCompositeFieldContainer[FundingPayment]
    expected_revisions: _containers.RepeatedCompositeFieldContainer[ExpectedRevision]
    def __init__(self, account: _Optional[str] = ..., request_id: _Optional[str] = ..., fills: _Optional[_Iterable[_Union[Fill, _Mapping]]] = ..., reason: _Optional[str] = ..., funding: _Optional[_Iterable[_Union[FundingPayment, _Mapping]]] = ..., expected_revisions: _Optional[_Iterable[_Union[ExpectedRevision, _Mapping]]] = ...) -> None: ...

class RecordFillsResponse(_message.Message):
    __slots__ = ("applied", "duplicates", "positions", "revision", "funding_applied", "funding_duplicates", "restated")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FUNDING_APPLIED_FIELD_NUMBER: _ClassVar[int]
    FUNDING_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    RESTATED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    duplicates: int
    positions: _containers.RepeatedCompositeFieldContainer[_position_pb2.Position]
    revision: int
    funding_applied: int
    funding_duplicates: int
    restated: int
    def __init__(self, applied: _Optional[int] = ..., duplicates: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[_position_pb2.Position, _Mapping]]] = ..., revision: _Optional[int] = ..., funding_applied: _Optional[int] = ..., funding_duplicates: _Optional[int] = ..., restated: _Optional[int] = ...) -> None: ...

class PriceUpdate(_message.Message):
    __slots__ = ("venue", "symbol", "price", "observed_at")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    venue: str
    symbol: str
    price: str
    observed_at: _timestamp_pb2.Timestamp
    def __init__(self, venue: _Optional[str] = ..., symbol: _Optional[str] = ..., price: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdatePricesRequest(_message.Message):
    __slots__ = ("prices",)
    PRICES_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[PriceUpdate]
    def __init__(self, prices: _Optional[_Iterable[_Union[PriceUpdate, _Mapping]]] = ...) -> None: ...

class UpdatePricesResponse(_message.Message):
    __slots__ = ("applied", "ignored", "revision")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    applied: int
    ignored: int
    revision: int
    def __init__(self, applied: _Optional[int] = ..., ignored: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class GetPositionRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "min_revision", "as_of_revision", "as_of_time")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    min_revision: int
    as_of_revision: int
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., min_revision: _Optional[int] = ..., as_of_revision: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPositionResponse(_message.Message):
    __slots__ = ("position", "revision")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    position: _position_pb2.Position
    revision: int
    def __init__(self, position: _Optional[_Union[_position_pb2.Position, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListPositionsRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "asset", "statuses", "page_size", "page_token", "min_revision", "as_of_revision", "as_of_time")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    asset: str
    statuses: _containers.RepeatedScalarFieldContainer[_position_pb2.PositionStatus]
    page_size: int
    page_token: str
    min_revision: int
    as_of_revision: int
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[_position_pb2.PositionStatus, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., min_revision: _Optional[int] = ..., as_of_revision: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPositionsResponse(_message.Message):
    __slots__ = ("positions", "next_page_token", "revision")
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[_position_pb2.Position]
    next_page_token: str
    revision: int
    def __init__(self, positions: _Optional[_Iterable[_Union[_position_pb2.Position, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class ListPositionsAtRiskRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "asset", "threshold", "page_size", "page_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    asset: str
    threshold: str
    page_size: int
    page_token: str
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., threshold: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPositionsAtRiskResponse(_message.Message):
    __slots__ = ("positions", "next_page_token", "revision")
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[_position_pb2.Position]
    next_page_token: str
    revision: int
    def __init__(self, positions: _Optional[_Iterable[_Union[_position_pb2.Position, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetPortfolioSummaryRequest(_message.Message):
    __slots__ = ("account", "venue")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ...) -> None: ...

class GetPortfolioSummaryResponse(_message.Message):
    __slots__ = ("total_positions", "total_unrealized_pnl", "total_notional_value", "positions_at_risk", "assets", "total_realized_pnl", "long_notional", "short_notional", "net_notional", "missing_marks", "revision", "total_funding", "confirmed_pnl", "estimated_pnl", "old_marks")
    TOTAL_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_UNREALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_NOTIONAL_VALUE_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_AT_RISK_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    LONG_NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    SHORT_NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    NET_NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    MISSING_MARKS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FUNDING_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_PNL_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_PNL_FIELD_NUMBER: _ClassVar[int]
    OLD_MARKS_FIELD_NUMBER: _ClassVar[int]
    total_positions: int
    total_unrealized_pnl: str
    total_notional_value: str
    positions_at_risk: int
    assets: _containers.RepeatedScalarFieldContainer[str]
    total_realized_pnl: str
    long_notional: str
    short_notional: str
    net_notional: str
    missing_marks: _containers.RepeatedScalarFieldContainer[str]
    revision: int
    total_funding: str
    confirmed_pnl: str
    estimated_pnl: str
    old_marks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, total_positions: _Optional[int] = ..., total_unrealized_pnl: _Optional[str] = ..., total_notional_value: _Optional[str] = ..., positions_at_risk: _Optional[int] = ..., assets: _Optional[_Iterable[str]] = ..., total_realized_pnl: _Optional[str] = ..., long_notional: _Optional[str] = ..., short_notional: _Optional[str] = ..., net_notional: _Optional[str] = ..., missing_marks: _Optional[_Iterable[str]] = ..., revision: _Optional[int] = ..., total_funding: _Optional[str] = ..., confirmed_pnl: _Optional[str] = ..., estimated_pnl: _Optional[str] = ..., old_marks: _Optional[_Iterable[str]] = ...) -> None: ...

class ListPositionHistoryRequest(_message.Message):
    __slots__ = ("position_id", "account", "venue", "symbol", "asset", "page_size", "page_token", "after_revision")
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    page_size: int
    page_token: str
    after_revision: int
    def __init__(self, position_id: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., after_revision: _Optional[int] = ...) -> None: ...

class ListPositionHistoryResponse(_message.Message):
    __slots__ = ("events", "next_page_token", "revision")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_position_pb2.PositionEvent]
    next_page_token: str
    revision: int
    def __init__(self, events: _Optional[_Iterable[_Union[_position_pb2.PositionEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchPositionsRequest(_message.Message):
    __slots__ = ("account", "venue", "symbol", "asset", "after_revision", "include_current", "types", "statuses")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    account: str
    venue: str
    symbol: str
    asset: str
    after_revision: int
    include_current: bool
    types: _containers.RepeatedScalarFieldContainer[_position_pb2.PositionEventType]
    statuses: _containers.RepeatedScalarFieldContainer[_position_pb2.PositionStatus]
    def __init__(self, account: _Optional[str] = ..., venue: _Optional[str] = ..., symbol: _Optional[str] = ..., asset: _Optional[str] = ..., after_revision: _Optional[int] = ..., include_current: _Optional[bool] = ..., types: _Optional[_Iterable[_Union[_position_pb2.PositionEventType, str]]] = ..., statuses: _Optional[_Iterable[_Union[_position_pb2.PositionStatus, str]]] = ...) -> None: ...

class WatchPositionsResponse(_message.Message):
    __slots__ = ("phase", "revision", "events", "positions", "snapshot_end")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    phase: _types_pb2.StreamPhase
    revision: int
    events: _containers.RepeatedCompositeFieldContainer[_position_pb2.PositionEvent]
    positions: _containers.RepeatedCompositeFieldContainer[_position_pb2.Position]
    snapshot_end: bool
    def __init__(self, phase: _Optional[_Union[_types_pb2.StreamPhase, str]] = ..., revision: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_position_pb2.PositionEvent, _Mapping]]] = ..., positions: _Optional[_Iterable[_Union[_position_pb2.Position, _Mapping]]] = ..., snapshot_end: _Optional[bool] = ...) -> None: ...

class VerifyHistoryRequest(_message.Message):
    __slots__ = ("from_revision", "to_revision")
    FROM_REVISION_FIELD_NUMBER: _ClassVar[int]
    TO_REVISION_FIELD_NUMBER: _ClassVar[int]
    from_revision: int
    to_revision: int
    def __init__(self, from_revision: _Optional[int] = ..., to_revision: _Optional[int] = ...) -> None: ...

class VerifyHistoryResponse(_message.Message):
    __slots__ = ("intact", "events_checked", "first_broken_revision", "problem", "revision")
    INTACT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_CHECKED_FIELD_NUMBER: _ClassVar[int]
    FIRST_BROKEN_REVISION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    intact: bool
    events_checked: int
    first_broken_revision: int
    problem: str
    revision: int
    def __init__(self, intact: _Optional[bool] = ..., events_checked: _Optional[int] = ..., first_broken_revision: _Optional[int] = ..., problem: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class PurgeClosedPositionsRequest(_message.Message):
    __slots__ = ("older_than_days", "dry_run")
    OLDER_THAN_DAYS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    older_than_days: int
    dry_run: bool
    def __init__(self, older_than_days: _Optional[int] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class PurgeClosedPositionsResponse(_message.Message):
    __slots__ = ("purged", "revision")
    PURGED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    purged: int
    revision: int
    def __init__(self, purged: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...
