/** Makes, replaces and removes tokens; a new one is shown once, in the dialogue that made it. */

import { post, remove } from "../api.js";
import { el, put, tell } from "../dom.js";
import { box, button, confirmed, dialogue, field, form, mark, select, table, when } from "../parts.js";

const SCOPES = [["read", "Only look (read)"], ["admin", "Everything (admin)"]];
const MEANINGS = { read: "looks at jobs, backups and metrics", admin: "may do everything, restores and downloads too" };
const NAME_HELP = "Small letters, digits, dots and dashes, such as grafana. It stands in the log below wherever the token is used.";
const FIRST = "bootstrap";

/** Show the tokens in a table; `draw` shows it anew. */
export function tokenTable(tokens, session, draw) {
  const isOwn = (name) => name === session.name;
  const first = [nameOf(FIRST, isOwn(FIRST)), scopeOf("admin"), "at the first start", el("span", { class: "hint" }, "not here")];
  const known = table("Tokens", ["Name", "Scope", "Made", "Change"], [first, ...tokens.map((token) => [
    nameOf(token.name, isOwn(token.name)),
    scopeOf(token.scope),
    [when(token.created_at), el("div", { class: "hint" }, `by ${token.created_by}`)],
    el("div", { class: "buttons" }, buttons(token, isOwn(token.name), draw)),
  ])]);
  return [known, el("p", { class: "hint" }, FIRST, " is always there: the one line of the file ", el("code", {}, "api-token"), " in the service's state directory, or the setting ", el("code", {}, "CELL_BACKUP_API_TOKEN"), ". It is changed there.")];
}

function nameOf(name, isOwn) {
  return [el("strong", {}, name), " ", isOwn ? mark("note", "you are logged in with it") : null];
}

function scopeOf(scope) {
  return [scope, el("div", { class: "hint" }, MEANINGS[scope])];
}

function buttons({ name }, isOwn, draw) {
  const opens = { "aria-haspopup": "dialog" };
  return [
    button("Replace", () => replaceToken(name, isOwn).then(draw), { ...opens, "aria-label": `Replace: ${name}` }),
    button("Remove", async () => {
      if (!(await confirmed("Remove this token?", removal(name, isOwn), "Remove it"))) return;
      await remove(`api/tokens/${encodeURIComponent(name)}`);
      tell(`“${name}” is removed.`);
      await draw();
    }, { ...opens, "aria-label": `Remove: ${name}` }),
  ];
}

function removal(name, isOwn) {
  const own = isOwn ? " You are logged in with it yourself: you will be logged out at once, and need another token to come back." : "";
  return `Whoever uses “${name}” is refused from now on.${own}`;
}

/** Ask for a new token, make it and show it once. */
export function makeToken() {
  const name = el("input", { type: "text", required: true, maxlength: 64, pattern: "[a-z0-9][a-z0-9._\\-]*", title: NAME_HELP, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const scope = select(SCOPES, "read");
  const fields = [field("Name", name, NAME_HELP), field("What it is good for", scope, "Give each person and program a token of its own, and no more than it needs.")];
  return shownOnce("Make a token", fields, "Make it", () => post("api/tokens", { name: name.value, scope: scope.value }));
}

function replaceToken(name, isOwn) {
  const own = "You are logged in with it yourself: you will be logged out, and come back with the new one.";
  const fields = [el("p", {}, `“${name}” gets a new token. The old one is refused from then on.`), isOwn ? box("warn", el("p", {}, own)) : null];
  return shownOnce("Replace this token", fields, "Replace it", () => post(`api/tokens/${encodeURIComponent(name)}/rotate`));
}

function shownOnce(title, fields, doing, make) {
  return dialogue(title, ({ close }) => {
    const room = el("div", {});
    const send = async () => {
      const made = await make();
      put(room, newToken(made, close));
      room.querySelector("input").select();
    };
    put(room, form(fields, doing, send, { cancel: () => close() }));
    return room;
  });
}

function newToken({ name, token }, close) {
  const shown = el("input", { type: "text", readonly: true, class: "mono", autocomplete: "off", spellcheck: "false", value: token });
  return [
    field(`The token “${name}”`, shown),
    box("warn", el("p", {}, "Copy it now: it is shown this once, and the service keeps no more than a digest of it.")),
    el("div", { class: "buttons" }, button("Copy", () => copy(shown)), button("I have it", () => close(true), { kind: "main" })),
  ];
}

/** Copy where the browser lets scripts do it; elsewhere the person can. */
async function copy(shown) {
  shown.select();
  if (!navigator.clipboard) {
    tell("This browser lets no script copy here. The token is marked: copy it by hand.");
    return;
  }
  await navigator.clipboard.writeText(shown.value);
  tell("Copied.");
}
