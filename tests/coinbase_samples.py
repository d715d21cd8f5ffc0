"""Keys and wire rows for Coinbase tests. The keys are made here, for each run anew."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

KEY_NAME = "organizations/11111111-2222-3333-4444-555555555555/apiKeys/66666666-7777-8888-9999-000000000000"
KEY_ID = "66666666-7777-8888-9999-000000000000"

EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(private: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return private.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


SEC1 = pem(EC, PrivateFormat.TraditionalOpenSSL)
ED_BYTES = base64.b64encode(
    ED.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    + ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
).decode()


def account(currency: str = "BTC", available: str = "1.5", hold: str = "0", **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"uuid-{currency}",
        "currency": currency,
        "available_balance": {"value": available, "currency": currency},
        "hold": {"value": hold, "currency": currency},
        "type": "ACCOUNT_TYPE_CRYPTO",
        "updated_at": "2026-11-22T14:00:00.123Z",
    } | more


def spot_product(product_id: str = "BTC-USD", step: str = "0.00000001", **more: Any) -> dict[str, Any]:
    base, quote = product_id.split("-")
    return {
        "product_id": product_id,
        "product_type": "SPOT",
        "base_currency_id": base,
        "quote_currency_id": quote,
        "base_increment": step,
        "price": "90000",
        "future_product_details": None,
    } | more


def future_product(product_id: str = "BIT-28NOV26-CDE", size: str = "0.01", **details: Any) -> dict[str, Any]:
    return {
        "product_id": product_id,
        "product_type": "FUTURE",
        "base_currency_id": "",
        "quote_currency_id": "USD",
        "base_increment": "1",
        "future_product_details": {
            "contract_root_unit": "BTC",
            "contract_size": size,
            "contract_expiry": "2026-11-28T16:00:00Z",
            "contract_expiry_type": "EXPIRING",
            "funding_rate": "",
        }
        | details,
    }


def contract(product_id: str = "BIT-28NOV26-CDE", count: str = "2", side: str = "LONG", **more: Any) -> dict[str, Any]:
    return {
        "product_id": product_id,
        "side": side,
        "number_of_contracts": count,
        "current_price": "91000",
        "avg_entry_price": "90000",
    } | more


def fill(entry_id: str = "e1", product_id: str = "BTC-USD", **more: Any) -> dict[str, Any]:
    return {
        "entry_id": entry_id,
        "trade_id": f"t-{entry_id}",
        "order_id": "o1",
        "trade_time": "2026-11-22T13:00:00.123456789Z",
        "sequence_timestamp": "2026-11-22T13:00:01Z",
        "trade_type": "FILL",
        "price": "90000",
        "size": "0.5",
        "commission": "1.25",
        "product_id": product_id,
        "size_in_quote": False,
        "side": "BUY",
    } | more
