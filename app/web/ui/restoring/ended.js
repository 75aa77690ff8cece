/** How a restore ended, and what is to be done now. */

import { pageOf } from "../actions.js";
import { el } from "../dom.js";
import { box, problemBox } from "../parts.js";
import { partName } from "../words.js";

const TITLES = {
  succeeded: "The cell is restored",
  partial: "The cell is restored, but not all of it",
  failed: "The restore failed",
  cancelled: "The restore was cancelled",
};
const BEFORE_ANY_CHANGE = new Set(["verify", "plan", "safety"]);

/** Tell whether something was restored. */
export const isDone = (job) => job.state === "succeeded" || job.state === "partial";

/** Say in a few words how a restore ended. */
export const titleOf = (job) => TITLES[job.state];

/** Tell all about how it ended. */
export function ended({ job, backup }) {
  const result = job.result || {};
  const safety = result.safety_backup_id;
  return el("div", { class: "ended" },
    isDone(job) ? next(job.state, result) : undone(job),
    job.error && job.state !== "cancelled" ? problemBox(job.error) : null,
    lost(job.components.filter((part) => part.error && part.error.code !== job.error?.code), isDone(job)),
    notes(job.warnings, isDone(job)),
    safety ? el("p", {}, "What was replaced is kept as the backup ", el("a", { href: pageOf(safety), class: "mono" }, safety), ".") : null,
    el("p", { class: "ways" },
      el("a", { href: `#/jobs/${job.job_id}` }, "Everything about this job"),
      el("a", { href: pageOf(backup.backup_id) }, "The backup"),
      el("a", { href: "#/" }, "Overview")));
}

function next(state, result) {
  return box(state === "succeeded" ? "good" : "warn", el("p", {}, el("strong", {}, "One more step: "), result.next || "Restart the cell."));
}

function undone(job) {
  const result = job.result || {};
  const steps = result.steps || [];
  if (result.rolled_back === true) return box("good", el("p", {}, "Everything was put back: the cell is as it was before."));
  if (result.rolled_back === false) return box("bad", el("p", {}, "Not everything could be put back. What is below says what is left to do."));
  if (steps.every((step) => BEFORE_ANY_CHANGE.has(step.stage))) return box("good", el("p", {}, "Nothing in the cell was changed."));
  return null; // the worker died: what the next one does about it is in the message
}

function lost(parts, isBack) {
  if (parts.length === 0) return null;
  const told = parts.map((part) => el("li", {}, el("strong", {}, partName(part)), ": ", part.error.message, " ", el("span", { class: "hint" }, part.error.hint)));
  return [el("h3", {}, isBack ? "Not restored as it should be" : "What went wrong"), box("warn", el("ul", {}, told))];
}

function notes(warnings, isBack) {
  if (warnings.length === 0) return null;
  return el("details", { class: "card", open: isBack && warnings.length < 4 }, el("summary", {}, "Warnings"), el("ul", {}, warnings.map((warning) => el("li", {}, warning))));
}
