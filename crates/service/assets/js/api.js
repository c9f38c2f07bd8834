// Requests to the service of this page. Failures become a Problem with the service's stable code; texts.js has the words.

const TIMEOUT_MS = 20_000;

let offset = 0;

/** The service's time in unix milliseconds, as far as its answers told: this device's clock may be wrong. */
export const serviceNow = () => Date.now() + offset;

/** `code` is the service's, or `offline` or `timeout`. */
export class Problem extends Error {
  constructor(code, status = 0, detail = "", body = {}) {
    super(detail || code);
    this.name = "Problem";
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.body = body;
  }
}

async function send(method, path, body, type) {
  let response;
  try {
    response = await fetch(path, {
      method,
      body,
      headers: { Accept: "application/json", ...(type && { "Content-Type": type }) },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new Problem(error.name === "TimeoutError" ? "timeout" : "offline");
  }
  const said = await response.text().catch(() => "");
  let parsed = {};
  try {
    parsed = said ? JSON.parse(said) : {};
  } catch {
    if (response.ok) throw new Problem("bad-answer", response.status);
  }
  if (!response.ok) throw new Problem(parsed.code ?? "bad-answer", response.status, parsed.detail, parsed);
  if (typeof parsed.now === "number") offset = parsed.now - Date.now();
  return parsed;
}

export const get = (path) => send("GET", path);
export const post = (path, value = {}) => send("POST", path, JSON.stringify(value), "application/json");
export const put = (path, value) => send("PUT", path, JSON.stringify(value), "application/json");
/** Sends a signed message as it is. */
export const postMessage = (path, wire) => send("POST", path, wire, "application/jose");
