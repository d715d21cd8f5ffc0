// The contract's names in a trader's words. What is new to this page is shown as it comes.

const bare = (name, prefix) => (name || "").replace(prefix, "");
export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const lower = (name) => name.toLowerCase().replaceAll("_", " ");

const KINDS = {
  MISSING_LOCALLY: "missing in the book",
  MISSING_AT_VENUE: "missing at the venue",
  SIZE: "size differs",
  SIDE: "wrong side",
  ENTRY_PRICE: "entry price differs",
  LEVERAGE: "leverage differs",
  MARGIN_MODE: "margin mode differs",
  LIQUIDATION_PRICE: "liquidation price differs",
  UNMAPPED: "unknown instrument",
  OVERDUE: "overdue",
  ALLOCATION: "allocation off target",
  EQUITY: "equity does not add up",
};

export const kind = (name) => KINDS[bare(name, "DRIFT_KIND_")] || lower(bare(name, "DRIFT_KIND_"));
export const cause = (name) => lower(bare(name, "DRIFT_CAUSE_"));
export const side = (name) => ({ SIDE_LONG: "long", SIDE_SHORT: "short" })[name] || "";
export const margin = (name) => lower(bare(name, "MARGIN_MODE_")).replace("unspecified", "");
export const status = (name) => lower(bare(name, "DRIFT_STATUS_"));
export const life = (name) => lower(bare(name, "POSITION_STATUS_"));
export const resolution = (name) => lower(name || "resolved");
export const field = (name) => lower(name).replace("realized pnl", "realised PnL");

export const SEVERITIES = {
  DRIFT_SEVERITY_CRITICAL: { rank: 0, sign: "▲", text: "Critical" },
  DRIFT_SEVERITY_WARNING: { rank: 1, sign: "◆", text: "Warning" },
  DRIFT_SEVERITY_INFO: { rank: 2, sign: "●", text: "Info" },
};
export const severity = (name) => SEVERITIES[name] || { rank: 3, sign: "○", text: lower(name || "unknown") };

export const CHECKS = {
  RECONCILIATION_STATUS_SYNCED: { state: "good", text: "✓ in sync" },
  RECONCILIATION_STATUS_DRIFT: { state: "bad", text: "≠ drift" },
  RECONCILIATION_STATUS_FAILED: { state: "warn", text: "✖ unread" },
  RECONCILIATION_STATUS_PENDING: { state: "quiet", text: "… unchecked" },
};

export const VENUE_STATES = {
  OK: { state: "good", sign: "✓" },
  STARTING: { state: "quiet", sign: "…" },
  UNCONFIGURED: { state: "quiet", sign: "○" },
  DEGRADED: { state: "warn", sign: "◆" },
  FAILED: { state: "bad", sign: "✖" },
};

export const PUSHES = { UP: "pushes", DOWN: "polled", OFF: "polled" };

export const SOURCES = {
  SOURCE_SIMULATED: { name: "simulated", text: "SIMULATED", more: "no real exchange, no real money" },
  SOURCE_LIVE: { name: "live", text: "LIVE", more: "real venues, real money" },
  NONE: { name: "none", text: "NO VENUE", more: "none is configured, so nothing is compared with the book" },
  SOURCE_UNSPECIFIED: { name: "mixed", text: "SIMULATED AND LIVE", more: "some venues are real: each says which it is" },
};
