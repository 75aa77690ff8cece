/** What an archive holds, as a tree that grows while the archive is read. */

import { addressOf } from "../actions.js";
import { get, post } from "../api.js";
import { el, put } from "../dom.js";
import { bytes, count } from "../format.js";
import { Listing } from "../listing.js";
import { button, field, form, problemBox } from "../parts.js";
import { reveal, secret } from "../passphrases.js";
import { treeOf } from "../tree.js";

const PAGE = 10_000;
const ENOUGH = 200_000;
const FOUND = 200;

/** Give an element that shows the contents of a backup; an encrypted one is asked its passphrase first. */
export function contents({ backup, signal }) {
  const element = el("section", { class: "contents", "aria-label": "Contents" });
  const address = `${addressOf(backup.backup_id)}/contents`;
  const asked = (offset, passphrase) => {
    const page = `${address}?limit=${PAGE}&offset=${offset}`;
    return backup.encrypted ? post(page, { passphrase }, { signal }) : get(page, { signal });
  };
  if (backup.encrypted) unlock(element, asked, signal);
  else begin(element, asked, "", signal);
  return element;
}

function unlock(element, asked, signal) {
  const input = secret("off");
  input.required = true;
  const open = async () => {
    try {
      begin(element, asked, input.value, signal, await asked(0, input.value));
    } catch (error) {
      input.select();
      throw error;
    }
  };
  const help = "It is needed to look inside, and is kept nowhere.";
  put(element, form([field("Passphrase of this backup", input, help), reveal(input)], "Show the contents", open));
}

function begin(element, asked, passphrase, signal, first = null) {
  const listing = new Listing();
  const status = el("p", { role: "status" }, "Reading the archive …");
  const trouble = el("div", {});
  const tree = treeOf(listing);
  const filter = el("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const found = el("div", {});
  filter.addEventListener("input", search);
  put(element, el("div", { class: "head" }, field("Find files", filter), status), trouble, found, tree.element);
  if (first) filter.focus(); // the field that had it is gone

  function search() {
    const wanted = filter.value.trim();
    tree.element.hidden = wanted !== "";
    put(found, wanted ? matches(listing, wanted) : null);
  }

  async function read(offset, page) {
    let limit = offset + ENOUGH;
    for (let next = offset; next !== null; page = null) {
      const { members, next_offset: after } = page || (await asked(next, passphrase));
      for (const member of members) listing.add(member);
      next = after;
      tree.draw();
      if (filter.value.trim()) search();
      status.textContent = next === null ? summary(listing) : `Reading … ${count(listing.entries, "entry", "entries")} so far`;
      if (next !== null && next >= limit) {
        const from = next;
        put(status, `${count(listing.entries, "entry", "entries")} so far. `, button("Read on", () => go(from), { kind: "quiet" }));
        return;
      }
    }
    passphrase = "";
  }

  const go = (offset, page = null) => read(offset, page).catch((error) => {
    if (error.name === "AbortError") return;
    status.textContent = "";
    put(trouble, problemBox(error));
    if (!("status" in error)) throw error;
  });
  go(0, first);
}

const summary = ({ root }) => `${count(root.files, "file")}, ${bytes(root.size)}`;

function matches(listing, wanted) {
  const { shown, total } = listing.find(wanted, FOUND);
  const lines = shown.map((node) => el("li", { class: "row" }, el("span", { class: "name mono" }, node.path), el("span", { class: "faint" }, node.children ? "folder" : node.kind === "file" ? bytes(node.size) : node.kind)));
  const said = total === 0 ? "Nothing has that in its name." : total > shown.length ? `${count(total, "match", "matches")}; the first ${shown.length} are shown.` : count(total, "match", "matches");
  return [el("p", { class: "hint", role: "status" }, said), el("ul", { class: "found", "aria-label": "Matches" }, lines)];
}
