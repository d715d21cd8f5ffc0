"""What venues say of liquidation prices, beside the positions. Only adds: a service of the release before goes on."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = """
CREATE TABLE liquidation_prices (
  position_id uuid PRIMARY KEY,
  side text NOT NULL CHECK (side IN ('LONG', 'SHORT')),
  size numeric(38,18) NOT NULL CHECK (size > 0 AND size < 1e20),
  price numeric(38,18) CHECK (price > 0 AND price < 1e20),
  observed_at timestamptz NOT NULL,
  tick bigint NOT NULL
);
CREATE INDEX liquidation_prices_by_tick ON liquidation_prices (tick);
"""


def upgrade() -> None:
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
