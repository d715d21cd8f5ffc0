// Calls of the HTTP edge. Every error becomes an ApiError that says what happened and what to do.

const KEY = "trueup-api-key";
const PATIENCE_MS = 40000; // longer than the edge's own, whose answer says more

const ADVICE = {
  STALE_REVISION: "It has moved on meanwhile. Look at it again, then decide again.",
  REQUEST_ID_REUSED: "It was carried out the first time already: close this and look at the feed.",
  ILLEGAL_TRANSITION: "Somebody was quicker: the feed shows how it stands now.",
  NOT_CORRECTABLE: "Choose another way to resolve it.",
  DRIFT_NOT_FOUND: "Reload the page: this case belongs to another ledger.",
  NO_CREDENTIALS: "Enter your API key under Settings.",
  SCOPE_MISSING: "Your API key does not allow this. Ask for one that does, and enter it under Settings.",
  ACCOUNT_FORBIDDEN: "Your API key is for other accounts. Enter another one under Settings.",
  VENUE_UNREACHABLE: "The venue does not answer. Try again when it is back under Venues; nothing was changed.",
  VENUE_UNCONFIGURED: "Give the Reconciler the credentials of this venue, or resolve it another way.",
  STORE_UNAVAILABLE: "Try again when the page is live again: nothing happens twice.",
  DEADLINE_EXCEEDED: "Try again: nothing happens twice.",
  DRAINING: "Try again in a moment: the service is being restarted.",
  OVERLOADED: "Try again in a moment.",
  RATE_LIMITED: "Try again in a moment.",
  ORIGIN_FORBIDDEN: "Open the page under a name that HTTP_HOSTS or HTTP_CORS_ORIGINS allows.",
  UNREACHABLE: "Is it running? The page comes back by itself when it is.",
};

export class ApiError extends Error {
  constructor(message, reason, status) {
    super(message);
    this.reason = reason;
    this.status = status;
  }

  get advice() {
    return ADVICE[this.reason] || (this.status >= 500 ? "Try again; if it stays, look into the services' logs." : "");
  }

  get needsKey() {
    return this.status === 401 || this.status === 403;
  }

  static fromStatus(status, http = 0) {
    const info = (status.details || []).find((one) => one.reason) || {};
    return new ApiError(status.message || `the server answered ${http}`, info.reason || "", http);
  }

  static async fromResponse(response) {
    const status = await response.json().catch(() => ({}));
    return ApiError.fromStatus(status, response.status);
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export const credentials = () => (key.get() ? { "X-API-Key": key.get() } : {});

async function answerOf(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new ApiError("The server cannot be reached.", "UNREACHABLE", 0);
  }
  if (!response.ok) throw await ApiError.fromResponse(response);
  try {
    return await response.json();
  } catch {
    throw new ApiError("The answer broke off.", "UNREACHABLE", 0);
  }
}

export function get(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return answerOf(text ? `${path}?${text}` : path, { headers: credentials() });
}

export function post(path, body) {
  const headers = { "Content-Type": "application/json", ...credentials() };
  return answerOf(path, { method: "POST", headers, body: JSON.stringify(body) });
}

// A name for one intention: repeated with it, a change happens once. randomUUID would need https.
export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("")}`;
}

// The names of the services behind this edge, e.g. "trueup.position.v1.PositionService". Some may not serve just now.
export async function services() {
  const response = await fetch("healthz", { cache: "no-store" });
  return Object.keys((await response.json()).services || {});
}
