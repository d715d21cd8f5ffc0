from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIDE_UNSPECIFIED: _ClassVar[Side]
    SIDE_LONG: _ClassVar[Side]
    SIDE_SHORT: _ClassVar[Side]

class Product(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRODUCT_UNSPECIFIED: _ClassVar[Product]
    PRODUCT_SPOT: _ClassVar[Product]
    PRODUCT_PERPETUAL: _ClassVar[Product]
    PRODUCT_FUTURE: _ClassVar[Product]

class MarginMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARGIN_MODE_UNSPECIFIED: _ClassVar[MarginMode]
    MARGIN_MODE_CROSS: _ClassVar[MarginMode]
    MARGIN_MODE_ISOLATED: _ClassVar[MarginMode]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_SIMULATED: _ClassVar[Source]
    SOURCE_LIVE: _ClassVar[Source]

class StreamPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_PHASE_UNSPECIFIED: _ClassVar[StreamPhase]
    STREAM_PHASE_SNAPSHOT: _ClassVar[StreamPhase]
    STREAM_PHASE_EVENTS: _ClassVar[StreamPhase]
    STREAM_PHASE_PROGRESS: _ClassVar[StreamPhase]
SIDE_UNSPECIFIED: Side
SIDE_LONG: Side
SIDE_SHORT: Side
PRODUCT_UNSPECIFIED: Product
PRODUCT_SPOT: Product
PRODUCT_PERPETUAL: Product
PRODUCT_FUTURE: Product
MARGIN_MODE_UNSPECIFIED: MarginMode
MARGIN_MODE_CROSS: MarginMode
MARGIN_MODE_ISOLATED: MarginMode
SOURCE_UNSPECIFIED: Source
SOURCE_SIMULATED: Source
SOURCE_LIVE: Source
STREAM_PHASE_UNSPECIFIED: StreamPhase
STREAM_PHASE_SNAPSHOT: StreamPhase
STREAM_PHASE_EVENTS: StreamPhase
STREAM_PHASE_PROGRESS: StreamPhase

class Fee(_message.Message):
    __slots__ = ("currency", "amount")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    currency: str
    amount: str
    def __init__(self, currency: _Optional[str] = ..., amount: _Optional[str] = ...) -> None: ...
