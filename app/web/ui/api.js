/** Speaks to the service. */

let csrfToken = "";
let onLogout = () => {};

/** An answer that says no: `code` never changes its meaning; `message` and `hint` are for people. */
export class Problem extends Error {
  constructor(status, { code = "", title = "", detail = "", hint = "", ...more } = {}) {
    super(detail || title || `The service answered ${status}.`);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.more = more;
  }
}

/** Call `listener` when the service no longer knows this session. */
export function whenLoggedOut(listener) {
  onLogout = listener;
}

/** Use this session's CSRF token from now on. */
export function useSession(session) {
  csrfToken = session ? session.csrf_token : "";
}

/**
 * Ask the service: `call("POST", "api/config/backup", {body: {...}})`. Gives the JSON of the answer, null where it has none;
 * throws Problem. `signal` ends it early.
 */
export async function call(method, address, { body, signal, headers = {} } = {}) {
  const request = { method, signal, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (method !== "GET") request.headers["X-CSRF-Token"] = csrfToken;
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  return taken(await answered(address, request));
}

/** Browsers drop what is under way when a network comes or goes: what only looks is asked for once more. */
async function answered(address, request, triesLeft = request.method === "GET" ? 1 : 0) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (triesLeft) return answered(address, request, triesLeft - 1);
    throw new Problem(0, { code: "unreachable", detail: "The service does not answer.", hint: "Is it running, and is this computer connected?" });
  }
}

/** Give the CSRF header for a request that is not made by `call`, such as an upload. */
export function csrfHeader() {
  return { "X-CSRF-Token": csrfToken };
}

/** Give the JSON of an answer; throw the Problem that it is. */
export async function taken(answer) {
  const isJson = answer.status !== 204 && /\bjson\b/.test(answer.headers.get("Content-Type") || "");
  const content = isJson ? await answer.json() : null;
  if (answer.ok) return content;
  if (answer.status === 401) onLogout();
  throw new Problem(answer.status, content || {});
}

export const get = (address, options) => call("GET", address, options);
export const post = (address, body, options) => call("POST", address, { body, ...options });
export const put = (address, body, options) => call("PUT", address, { body, ...options });
export const remove = (address, options) => call("DELETE", address, options);
