/** Says in plain words how a job ended, and what can be done now. */

import { pageOf } from "../actions.js";
import { el } from "../dom.js";
import { bytes, count } from "../format.js";
import { box, problemBox } from "../parts.js";
import { lacking } from "../words.js";

/** Show how a job ended. */
export function outcome(job) {
  const tell = { backup, verify, restore, prune }[job.kind];
  const isMistake = job.error && job.state !== "cancelled";
  return [isMistake ? problemBox(job.error) : null, tell ? tell(job) : null];
}

const cancelled = (job) => (job.state === "cancelled" ? "It was cancelled. " : "");
const isDone = (job) => job.state === "succeeded" || job.state === "partial";

function backup(job) {
  if (!isDone(job)) return box("note", el("p", {}, `${cancelled(job)}No backup was made, and nothing was left behind.`));
  const open = el("p", {}, el("a", { class: "button main", href: pageOf(job.backup_id) }, "To the backup"));
  if (job.state === "succeeded") return box("good", el("p", {}, "Everything that was asked for is saved."), open);
  const missing = lacking(job.components).length;
  const lacks = `The backup was made, but ${count(missing, "part")} of ${job.components.length} did not come out right.`;
  return box("warn", el("p", {}, `${lacks} The table says which, why, and what to do. All else is saved.`), open);
}

function verify(job) {
  const open = el("p", {}, el("a", { href: pageOf(job.backup_id) }, "To the backup"));
  if (job.state === "cancelled") return box("note", el("p", {}, `${cancelled(job)}Whether the backup is whole is not known.`), open);
  if (!isDone(job)) return open;
  const { files, bytes: size, failed_parts: failed } = job.result;
  return box("good",
    el("p", {}, `The backup is whole: ${count(files, "file")}, ${bytes(size)}, were read to the last byte and compared.`),
    failed.length ? el("p", {}, `When it was made, these could not be saved: ${failed.join(", ")}.`) : null,
    open);
}

function restore(job) {
  const result = job.result || {};
  const safety = result.safety_backup_id;
  return [
    isDone(job) ? restored(job.state, result) : putBack(result, cancelled(job)),
    safety ? el("p", {}, "What was replaced is kept for some days as ", el("a", { href: pageOf(safety), class: "mono" }, safety), ".") : null,
  ];
}

function restored(state, result) {
  if (!result.next) return box("note", el("p", {}, "This was a plan only: nothing in the cell was changed."));
  const isWhole = state === "succeeded";
  const said = isWhole ? "The cell is restored. " : "The cell is restored, but not all of it: the table says what is missing, and why. ";
  return box(isWhole ? "good" : "warn", el("p", {}, el("strong", {}, said, "One more step: "), result.next), el("pre", {}, el("code", {}, "make restart")));
}

function putBack(result, cancelled) {
  if (result.rolled_back === true) return box("good", el("p", {}, `${cancelled}Everything was put back: the cell is as it was before.`));
  if (result.rolled_back === false) return box("bad", el("p", {}, "Not everything could be put back. What is below says what is left to do."));
  return cancelled ? box("note", el("p", {}, cancelled)) : null;
}

function prune(job) {
  const { removed = [], freed = 0, to_keep: kept } = job.result || {};
  const said = cancelled(job) + (removed.length ? `${count(removed.length, "backup")} removed, which freed ${bytes(freed)}.` : "No backup was removed.");
  return box(job.state === "succeeded" ? "good" : "note",
    el("p", {}, said, kept === undefined ? "" : ` ${count(kept, "backup stays", "backups stay")} by the rules.`),
    removed.length ? el("ul", { class: "lines" }, removed.map((id) => el("li", { class: "mono" }, id))) : null);
}
