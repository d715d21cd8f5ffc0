"""API keys: digests, never the keys. Only adds."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = """
CREATE TABLE api_keys (
  key_id text PRIMARY KEY,
  name text NOT NULL,
  scopes smallint[] NOT NULL CHECK (cardinality(scopes) > 0),
  accounts text[],
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  created_at timestamptz NOT NULL,
  created_by text NOT NULL,
  expires_at timestamptz,
  generation bigint NOT NULL CHECK (generation >= 0),
  previous_digest bytea CHECK (octet_length(previous_digest) = 32),
  previous_until timestamptz,
  rotated_at timestamptz,
  revoked_at timestamptz,
  revoked_by text NOT NULL
);
CREATE UNIQUE INDEX one_live_key_name ON api_keys (name) WHERE revoked_at IS NULL;
"""


def upgrade() -> None:
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
