"""Estimates that fills may restate, and funding. Only adds, with defaults.

Amounts have a two-sided CHECK, as ever. The indexes are partial: opening a position costs what it did.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = """
ALTER TABLE positions
  ADD COLUMN funding numeric NOT NULL DEFAULT 0 CHECK (funding > -1e60 AND funding < 1e60),
  ADD COLUMN other_funding text NOT NULL DEFAULT '[]',
  ADD COLUMN estimates text NOT NULL DEFAULT '[]';
CREATE INDEX positions_ended ON positions (account, venue, symbol, closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX positions_owing ON positions (position_id) WHERE estimates <> '[]';

CREATE TABLE payments (
  account text,
  venue text,
  payment_id text,
  revision bigint NOT NULL,
  PRIMARY KEY (account, venue, payment_id)
);
"""


def upgrade() -> None:
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
