/** Shows the view that the address names: `#/backups/<id>` is the view `backups` with one parameter. */

import { el, put } from "./dom.js";
import { problemBox } from "./parts.js";

/**
 * Give the function that shows what the address names now. `routes` are pairs of a pattern such as `#/backups/:` and a view:
 * {title, async show({main, parameters, query, session, signal})}; `signal` is aborted when the view is left, and
 * `query` holds what stands behind a question mark in the address. `show.leave()` leaves the view that is shown.
 */
export function routing(routes, main, { session, onShown }) {
  let leaving = new AbortController();

  function leave() {
    leaving.abort();
    for (const open of document.querySelectorAll("dialog[open]")) open.close();
  }

  async function show({ focus = true } = {}) {
    leave();
    leaving = new AbortController();
    const { signal } = leaving;
    const [address, query = ""] = (location.hash || "#/").split("?");
    const [view, parameters] = found(routes, address);
    const room = el("div", { class: "view" });
    put(main, room);
    document.title = `${view.title} · cell-backup`;
    onShown(address);
    if (focus) main.focus({ preventScroll: false });
    try {
      await view.show({ main: room, parameters, query: new URLSearchParams(query), session: session(), signal });
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      put(room, el("h1", {}, view.title), problemBox(error));
      if (!("status" in error)) throw error;
    }
  }
  return Object.assign(show, { leave });
}

function found(routes, address) {
  const given = address.split("/");
  for (const [pattern, view] of routes) {
    const wanted = pattern.split("/");
    if (wanted.length !== given.length || !wanted.every((part, index) => part === ":" || part === given[index])) continue;
    const parameters = given.filter((_, index) => wanted[index] === ":").map(decoded);
    if (!parameters.includes(null)) return [view, parameters];
  }
  return [NOTHING, []];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

const NOTHING = {
  title: "Nothing here",
  show: ({ main }) => put(main, el("h1", {}, "Nothing here"), el("p", {}, "This address leads nowhere. ", el("a", { href: "#/" }, "To the overview"))),
};
