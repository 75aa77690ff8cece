/** Shows what rules make of each backup, before anything is removed. */

import { el } from "../dom.js";
import { bytes, count, exactly } from "../format.js";
import { box, mark, table, when } from "../parts.js";
import { reasonWord } from "./words.js";

const COLUMNS = ["Backup", "Made", { name: "Size", number: true }, "Would", "Why"];

/** Show a preview as the service gives it. */
export function previewOf({ decisions, removed, freed, held, policy }) {
  if (decisions.length === 0) return box("note", el("p", {}, "There is no backup yet."));
  return [
    box(removed ? "warn" : "good", el("p", {}, summary(decisions.length, removed, freed))),
    held && removed ? heldBox(held, "So for now none of them is removed.", "Look at the newest backup first. If it is as it should be, you can go on all the same.") : null,
    table("What would become of each backup", COLUMNS, decisions.map((decision) => row(decision, policy))),
  ];
}

/** Say why nothing would be removed although the rules would. */
export function heldBox({ message }, consequence, advice) {
  return box("warn", el("p", {}, el("strong", {}, `${message} ${consequence}`)), advice ? el("p", { class: "hint" }, advice) : null);
}

function summary(all, removed, freed) {
  if (removed === 0) return `All ${all === 1 ? "that there is" : all} would stay.`;
  return `${removed} of ${count(all, "backup")} would go, which frees ${bytes(freed)}; ${all - removed} would stay.`;
}

function row({ backup_id: backupId, created_at: made, size, keep, reasons }, policy) {
  return [
    el("a", { href: `#/backups/${encodeURIComponent(backupId)}`, title: backupId }, exactly(made)),
    when(made),
    bytes(size),
    keep ? mark("good", "stay") : mark("bad", "go"),
    reasons.map((reason) => reasonWord(reason, policy)).join("; "),
  ];
}
