"""The tables, as SQLAlchemy sees them. The migrations create them; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TIMESTAMP

metadata = sa.MetaData()

_AMOUNT = sa.Numeric(38, 18)
_EXACT = sa.Numeric()  # cost and PnL keep every digit of price x size
_TIME = TIMESTAMP(timezone=True)


def _text(name: str, **options: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, **options)  # type: ignore[arg-type]


ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("tick", sa.BigInteger, nullable=False),  # moves with what is not an event: marks, checks, counters
    sa.Column("time", _TIME),
    sa.Column("hash", BYTEA, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("commit_revision", sa.BigInteger, nullable=False),
    sa.Column("time", _TIME, nullable=False),
    _text("type"),
    _text("account"),
    sa.Column("subject", sa.Uuid, nullable=False),
    _text("actor"),
    _text("request_id"),
    _text("reason"),
    _text("body"),  # JSON, kept as text because the hash covers its bytes
    sa.Column("hash", BYTEA, nullable=False),
    sa.Index("events_by_subject", "subject", "revision"),
    sa.Index("events_by_account", "account", "revision"),
    sa.Index(
        "events_openings",
        "subject",
        postgresql_where=sa.text("type IN ('position.opened', 'position.opening')"),
    ),
    sa.Index("events_by_time", "time", "revision"),
)

positions = sa.Table(
    "positions",
    metadata,
    sa.Column("position_id", sa.Uuid, primary_key=True),
    _text("account"),
    _text("venue"),
    _text("symbol"),
    _text("asset"),
    _text("product"),
    _text("side"),
    sa.Column("size", _AMOUNT, nullable=False),
    sa.Column("cost", _EXACT, nullable=False),
    _text("status"),
    sa.Column("leverage", _AMOUNT, nullable=False),
    sa.Column("margin_mode", sa.Text),
    sa.Column("liquidation_price", _AMOUNT),
    sa.Column("realized", _EXACT, nullable=False),
    sa.Column("peak", _AMOUNT, nullable=False),
    sa.Column("opened_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("closed_at", _TIME),
    sa.Column("deadline", _TIME),
    sa.Column("returns_to", sa.Text),
    sa.Column("at_risk", sa.Boolean, nullable=False),
    _text("other_fees"),  # JSON
    _text("labels"),  # JSON
    sa.Column("estimated", _EXACT, nullable=False),
    sa.Column("final_entry", _AMOUNT, nullable=False),
    sa.Column("funding", _EXACT, nullable=False, server_default=sa.text("0")),
    _text("other_funding", server_default=sa.text("'[]'")),  # JSON
    _text("estimates", server_default=sa.text("'[]'")),  # JSON
    sa.Index(
        "one_live_position",
        "account",
        "venue",
        "symbol",
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
    sa.Index("positions_by_end", "closed_at"),
    sa.Index(
        "positions_ended",
        "account",
        "venue",
        "symbol",
        "closed_at",
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    ),
    sa.Index("positions_owing", "position_id", postgresql_where=sa.text("estimates <> '[]'")),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    _text("method"),
    sa.Column("body", BYTEA, nullable=False),
    sa.Column("response", BYTEA, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

fills = sa.Table(
    "fills",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("venue", sa.Text, primary_key=True),
    sa.Column("fill_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("venue", sa.Text, primary_key=True),
    sa.Column("payment_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

marks = sa.Table(
    "marks",
    metadata,
    sa.Column("venue", sa.Text, primary_key=True),
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("price", _AMOUNT, nullable=False),
    sa.Column("observed_at", _TIME, nullable=False),
    sa.Column("tick", sa.BigInteger, nullable=False),
    # BRIN: an update that changes nothing else that is indexed stays in its page (HOT), so an ordinary index on what
    # every update changes would cost a third of it. Catching up reads the few ranges of pages that have changed.
    sa.Index("marks_by_tick", "tick", postgresql_using="brin", postgresql_with={"pages_per_range": 4}),
)

liquidation_prices = sa.Table(
    "liquidation_prices",
    metadata,
    sa.Column("position_id", sa.Uuid, primary_key=True),
    _text("side"),
    sa.Column("size", _AMOUNT, nullable=False),
    sa.Column("price", _AMOUNT),
    sa.Column("observed_at", _TIME, nullable=False),
    sa.Column("tick", sa.BigInteger, nullable=False),
    sa.Index("liquidation_prices_by_tick", "tick"),
)

checks = sa.Table(
    "checks",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("venue", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, primary_key=True),
    _text("product"),
    _text("symbol_prefix"),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("checked_at", _TIME, nullable=False),
    sa.Column("last_ok_at", _TIME),
    _text("suspects"),  # JSON
    sa.Column("tick", sa.BigInteger, nullable=False),
)

drifts = sa.Table(
    "drifts",
    metadata,
    sa.Column("drift_id", sa.Uuid, primary_key=True),
    _text("account"),
    _text("venue"),
    _text("symbol"),
    _text("kind"),
    _text("status"),
    _text("content"),
    _text("substance"),
    sa.Column("first_seen", _TIME, nullable=False),
    sa.Column("last_seen", _TIME, nullable=False),
    sa.Column("times_seen", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("snoozed_until", _TIME),
    _text("resolution"),
    _text("actor"),
    _text("reason"),
    _text("run_id"),
    sa.Column("tick", sa.BigInteger, nullable=False),
    sa.Index(
        "one_open_drift",
        "account",
        "venue",
        "symbol",
        "kind",
        unique=True,
        postgresql_where=sa.text("status <> 'RESOLVED'"),
    ),
    sa.Index("drifts_by_revision", "revision"),
    sa.Index("drifts_by_tick", "tick"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.Uuid, primary_key=True),
    sa.Column("started_at", _TIME, nullable=False),
    _text("body"),  # JSON
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("runs_by_start", "started_at", "run_id"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("holder"),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    _text("name"),
    sa.Column("scopes", ARRAY(sa.SmallInteger), nullable=False),
    sa.Column("accounts", ARRAY(sa.Text)),  # NULL: every account
    sa.Column("digest", BYTEA, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    _text("created_by"),
    sa.Column("expires_at", _TIME),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("previous_digest", BYTEA),
    sa.Column("previous_until", _TIME),
    sa.Column("rotated_at", _TIME),
    sa.Column("revoked_at", _TIME),
    _text("revoked_by"),
    sa.Index("one_live_key_name", "name", unique=True, postgresql_where=sa.text("revoked_at IS NULL")),
)
