"""Marks that are updated in their page: room in it, and a BRIN index on what every update changes. Changes no data."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = """
ALTER TABLE marks SET (fillfactor = 50);
DROP INDEX marks_by_tick;
CREATE INDEX marks_by_tick ON marks USING brin (tick) WITH (pages_per_range = 4);
"""


def upgrade() -> None:
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
