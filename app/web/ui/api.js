/** Speaks to the service. */

let csrfToken = "";
let onLogout = () => {};
let onRenewed = () => {};

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

/** Call `listener` with the session when it was asked for anew: after a login in another tab it is another one. */
export function whenRenewed(listener) {
  onRenewed = listener;
}

/** Use this session's CSRF token from now on. */
export function useSession(session) {
  csrfToken = session.csrf_token;
}

/** Ask for the session anew and use it: another tab may have logged in since. */
export async function renewSession(signal) {
  const session = await get("api/session", { signal });
  useSession(session);
  onRenewed(session);
}

/**
 * Ask the service: `call("POST", "api/config/backup", {body: {...}})`. Gives the JSON of the answer, null where it has none;
 * throws Problem. `signal` ends it early. What is refused for its CSRF token is asked for once more, with the session's own.
 */
export async function call(method, address, { body, signal } = {}) {
  const request = { method, signal, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  if (method === "GET") return asked(address, request, { tries: 2 });
  const send = () => asked(address, { ...request, headers: { ...request.headers, ...csrfHeader() } }, { tries: 1 });
  try {
    return await send();
  } catch (error) {
    if (error.code !== "csrf_failed") throw error;
    await renewSession(signal);
    return send();
  }
}

async function asked(address, request, { tries }) {
  const { answer, content } = await heard(address, request, tries);
  if (answer.ok) return content;
  throw problemOf(answer.status, content);
}

/** Browsers drop what is under way when a network comes or goes: what only looks has a second try. */
async function heard(address, request, triesLeft) {
  try {
    const answer = await fetch(address, request);
    return { answer, content: await contentOf(answer) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // which browsers throw where nobody answers, or not to the end
    if (triesLeft > 1) return heard(address, request, triesLeft - 1);
    throw new Problem(0, { code: "unreachable", detail: "The service does not answer.", hint: "Is it running, and is this computer connected?" });
  }
}

async function contentOf(answer) {
  const isJson = answer.status !== 204 && /\bjson\b/.test(answer.headers.get("Content-Type") || "");
  return isJson ? answer.json() : null;
}

/** Give the CSRF header for a request that is not made by `call`, such as an upload. */
export function csrfHeader() {
  return { "X-CSRF-Token": csrfToken };
}

/** Give the Problem that an answer is, of which the JSON is null where it has none; without a session one has to log in. */
export function problemOf(status, content) {
  if (status === 401) onLogout();
  return new Problem(status, content || {});
}

export const get = (address, options) => call("GET", address, options);
export const post = (address, body, options) => call("POST", address, { body, ...options });
export const remove = (address, options) => call("DELETE", address, options);
