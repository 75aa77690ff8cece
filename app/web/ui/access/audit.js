/** Shows the audit log: newest first, more on demand, sieved by what is typed. */

import { get } from "../api.js";
import { el, put } from "../dom.js";
import { count } from "../format.js";
import { badge, button, field, mark, select, table, when } from "../parts.js";
import { happened } from "./words.js";

const PAGE = 100;
const EVENTS = [["", "Everything"], ["request", "What was done"], ["refused", "What was refused"], ["job_ended", "How jobs ended"]];
const OUTCOMES = { done: "good", refused: "warn", failed: "bad" };

/** Make the log's part of the page; it loads its first page before it is given. */
export async function auditLog(signal) {
  const entries = [];
  const room = el("div", {});
  const said = el("p", { class: "hint", role: "status" });
  const words = el("input", { type: "search", autocomplete: "off", placeholder: "grafana" });
  const event = select(EVENTS, "");
  let before = null;

  const draw = () => {
    const found = entries.filter((entry) => isWanted(entry, event.value, words.value));
    const depth = before ? ` of the newest ${count(entries.length, "entry", "entries")}` : "";
    said.textContent = `${count(found.length, "entry", "entries")} shown${depth}.`;
    put(room, found.length ? table("Audit log", ["When", "Who", "What", "Outcome"], found.map(row)) : null);
    older.hidden = !before;
  };
  const load = async () => {
    const page = await get(`api/audit?limit=${PAGE}${before ? `&before=${before}` : ""}`, { signal });
    entries.push(...page.entries);
    before = page.next_before;
    draw();
  };
  const older = button("Show older ones", load);
  words.addEventListener("input", draw);
  event.addEventListener("change", draw);
  await load();
  return el("section", { class: "card" },
    el("h2", {}, "Who did what"),
    el("p", { class: "hint" }, "Everything that changed or gave away something, what was refused, and how jobs ended. No passphrase and no token is ever in it."),
    el("div", { class: "row" }, field("Show", event), field("With these words", words, "A name, an address, a backup or a job; searched in what is loaded.")),
    said, room, older);
}

function isWanted(entry, event, words) {
  if (event && entry.event !== event && !(event === "refused" && entry.outcome === "refused")) return false;
  const text = [entry.by, entry.peer, entry.target, entry.job_id, entry.code, entry.outcome, happened(entry)].join(" ").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function row(entry) {
  return [
    when(entry.at),
    [entry.by || "nobody known", entry.peer ? el("div", { class: "hint" }, `from ${entry.peer}`) : null],
    [happened(entry), el("div", { class: "hint" }, about(entry))],
    [outcome(entry), entry.code ? el("div", { class: "hint" }, entry.code.replaceAll("_", " ")) : null],
  ];
}

function about({ target, job_id: jobId }) {
  const job = jobId ? el("a", { href: `#/jobs/${encodeURIComponent(jobId)}` }, "the job") : null;
  return [target, target && job ? " · " : null, job];
}

function outcome({ event, outcome: word }) {
  return event === "job_ended" ? badge(word) : mark(OUTCOMES[word] || "faint", word || "unknown");
}
