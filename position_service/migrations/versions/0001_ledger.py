"""The ledger: events and what follows from them.

Every amount has a two-sided CHECK: in PostgreSQL NaN is greater than any number, so ``>= 0`` alone would let it in.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_STATEMENTS = """
CREATE TABLE ledger_head (
  id smallint PRIMARY KEY CHECK (id = 1),
  revision bigint NOT NULL CHECK (revision >= 0),
  tick bigint NOT NULL CHECK (tick >= 0),
  time timestamptz,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
INSERT INTO ledger_head VALUES (1, 0, 0, NULL, decode(repeat('00', 32), 'hex'));

CREATE TABLE events (
  revision bigint PRIMARY KEY CHECK (revision > 0),
  commit_revision bigint NOT NULL CHECK (commit_revision >= revision),
  time timestamptz NOT NULL,
  type text NOT NULL,
  account text NOT NULL,
  subject uuid NOT NULL,
  actor text NOT NULL,
  request_id text NOT NULL,
  reason text NOT NULL,
  body text NOT NULL,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX events_by_subject ON events (subject, revision);
CREATE INDEX events_by_account ON events (account, revision);
CREATE INDEX events_openings ON events (subject) WHERE type IN ('position.opened', 'position.opening');
CREATE INDEX events_by_time ON events (time, revision);

CREATE TABLE positions (
  position_id uuid PRIMARY KEY,
  account text NOT NULL CHECK (account <> ''),
  venue text NOT NULL CHECK (venue <> ''),
  symbol text NOT NULL CHECK (symbol <> ''),
  asset text NOT NULL CHECK (asset <> ''),
  product text NOT NULL CHECK (product IN ('SPOT', 'PERPETUAL', 'FUTURE')),
  side text NOT NULL CHECK (side IN ('LONG', 'SHORT')),
  size numeric(38,18) NOT NULL CHECK (size >= 0 AND size < 1e20),
  cost numeric NOT NULL CHECK (cost > -1e60 AND cost < 1e60),
  status text NOT NULL CHECK (status IN ('OPENING', 'OPEN', 'REDUCED', 'CLOSING', 'CLOSED', 'LIQUIDATED')),
  leverage numeric(38,18) NOT NULL CHECK (leverage > 0 AND leverage < 1e20),
  margin_mode text CHECK (margin_mode IN ('CROSS', 'ISOLATED')),
  liquidation_price numeric(38,18) CHECK (liquidation_price > 0 AND liquidation_price < 1e20),
  realized numeric NOT NULL CHECK (realized > -1e60 AND realized < 1e60),
  peak numeric(38,18) NOT NULL CHECK (peak >= 0 AND peak < 1e20),
  opened_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  revision bigint NOT NULL CHECK (revision > 0),
  closed_at timestamptz,
  deadline timestamptz,
  returns_to text CHECK (returns_to IN ('OPEN', 'REDUCED')),
  at_risk boolean NOT NULL,
  other_fees text NOT NULL,
  labels text NOT NULL,
  estimated numeric NOT NULL CHECK (estimated > -1e60 AND estimated < 1e60),
  final_entry numeric(38,18) NOT NULL CHECK (final_entry >= 0 AND final_entry < 1e20),
  CHECK ((status IN ('CLOSED', 'LIQUIDATED')) = (closed_at IS NOT NULL)),
  CHECK ((closed_at IS NOT NULL) = (size = 0)),
  CHECK (closed_at IS NULL OR cost = 0),
  CHECK ((returns_to IS NOT NULL) = (status = 'CLOSING'))
);
CREATE UNIQUE INDEX one_live_position ON positions (account, venue, symbol) WHERE closed_at IS NULL;
CREATE INDEX positions_by_end ON positions (closed_at);

CREATE TABLE requests (
  request_id text PRIMARY KEY,
  method text NOT NULL,
  body bytea NOT NULL,
  response bytea NOT NULL,
  revision bigint NOT NULL
);

CREATE TABLE fills (
  account text,
  venue text,
  fill_id text,
  revision bigint NOT NULL,
  PRIMARY KEY (account, venue, fill_id)
);

CREATE TABLE marks (
  venue text,
  symbol text,
  price numeric(38,18) NOT NULL CHECK (price > 0 AND price < 1e20),
  observed_at timestamptz NOT NULL,
  tick bigint NOT NULL,
  PRIMARY KEY (venue, symbol)
);
CREATE INDEX marks_by_tick ON marks (tick);

CREATE TABLE checks (
  account text,
  venue text,
  scope text,
  product text NOT NULL,
  symbol_prefix text NOT NULL,
  ok boolean NOT NULL,
  checked_at timestamptz NOT NULL,
  last_ok_at timestamptz,
  suspects text NOT NULL,
  tick bigint NOT NULL,
  PRIMARY KEY (account, venue, scope)
);

CREATE TABLE drifts (
  drift_id uuid PRIMARY KEY,
  account text NOT NULL,
  venue text NOT NULL,
  symbol text NOT NULL,
  kind text NOT NULL,
  status text NOT NULL CHECK (status IN ('CONFIRMED', 'ACKNOWLEDGED', 'SNOOZED', 'RESOLVED')),
  content text NOT NULL,
  substance text NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  times_seen bigint NOT NULL CHECK (times_seen > 0),
  revision bigint NOT NULL CHECK (revision > 0),
  snoozed_until timestamptz,
  resolution text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  run_id text NOT NULL,
  tick bigint NOT NULL
);
CREATE UNIQUE INDEX one_open_drift ON drifts (account, venue, symbol, kind) WHERE status <> 'RESOLVED';
CREATE INDEX drifts_by_revision ON drifts (revision);
CREATE INDEX drifts_by_tick ON drifts (tick);

CREATE TABLE runs (
  run_id uuid PRIMARY KEY,
  started_at timestamptz NOT NULL,
  body text NOT NULL,
  revision bigint NOT NULL
);
CREATE INDEX runs_by_start ON runs (started_at, run_id);

CREATE TABLE leases (
  name text PRIMARY KEY,
  holder text NOT NULL,
  expires_at timestamptz NOT NULL,
  fence bigint NOT NULL CHECK (fence > 0)
);
"""


def upgrade() -> None:
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
