/** One backup: what it holds, how it came out, and what can be done with it. */

import { get } from "../api.js";
import { addressOf, deleteBackup, nameOf, pageOf, verify } from "../actions.js";
import { badgesOf } from "../badges.js";
import { lines, partsTable } from "../components.js";
import { el, put, tell } from "../dom.js";
import { bytes, count, duration } from "../format.js";
import { box, button, facts, problemBox, when } from "../parts.js";
import { holdings, lacking } from "../words.js";

const WHAT_THEY_DO = "Restoring shows a plan first and asks again before it changes anything. "
  + "Verifying reads the file to its last byte and proves that it is whole.";
const IS_SAFETY = "A restore saved this before it replaced anything: it has only what was about to be replaced.";
const IS_CHOICE = "Only a part of the cell was chosen for this backup; the table says which.";
const IS_FOREIGN = "This archive came from elsewhere, so nothing is noted about how it was made. Verify it before you rely on it.";

export default {
  title: "Backup",

  /** Show the backup. */
  async show({ main, parameters: [backupId], session, signal }) {
    const mayChange = session.scope === "admin";
    const backup = await get(addressOf(backupId), { signal });
    const answer = el("div", {});
    put(main,
      el("p", { class: "back" }, el("a", { href: "#/backups" }, "All backups")),
      el("div", { class: "title named" }, el("h1", {}, nameOf(backup)), badgesOf(backup)),
      mayChange ? actions(backup, answer) : null,
      answer,
      remarks(backup),
      about(backup),
      backup.parts.length ? el("section", { class: "card" }, el("h2", {}, "Components and volumes"), partsTable(backup.parts)) : null,
      inside(backup, { signal, mayChange }));
  },
};

function actions(backup, answer) {
  const gone = async () => {
    put(answer);
    try {
      if (!(await deleteBackup(backup))) return;
      location.hash = "#/backups";
      tell(`“${nameOf(backup)}” was deleted.`);
    } catch (error) {
      if (!("status" in error)) throw error;
      put(answer, problemBox(error));
    }
  };
  return el("div", { class: "actions" },
    el("div", { class: "buttons" },
      el("a", { class: "button main", href: `${pageOf(backup.backup_id)}/restore` }, "Restore from it"),
      el("a", { class: "button", href: `${addressOf(backup.backup_id)}/download`, download: backup.file_name }, "Download"),
      button("Verify", () => verify(backup)),
      button("Delete", gone, { kind: "danger" })),
    el("p", { class: "hint" }, WHAT_THEY_DO, backup.encrypted ? "" : " The file is not encrypted: whoever has it can read all of the cell."));
}

function remarks(backup) {
  const { verified, expires_at: expires, parts, warnings, choice } = backup;
  const missing = lacking(parts).length;
  return [
    verified && !verified.ok ? damaged(verified) : null,
    missing ? box("warn", el("p", {}, `${count(missing, "part")} of ${parts.length} did not come out right; all else is saved. The table says which, and why.`)) : null,
    choice.length && !expires ? box("note", el("p", {}, IS_CHOICE)) : null,
    expires ? box("note", el("p", {}, IS_SAFETY, " It is removed by itself ", when(expires), ".")) : null,
    backup.described ? null : box("note", el("p", {}, IS_FOREIGN)),
    warnings.length ? box("warn", lines(warnings, "warning")) : null,
  ];
}

function damaged({ message }) {
  return box("bad",
    el("p", {}, el("strong", {}, "This backup is damaged. "), message || "It did not verify."),
    el("p", { class: "hint" }, "Use another backup; this one cannot be trusted."));
}

function about(backup) {
  const { verified } = backup;
  const cell = [backup.cell_name, backup.domain].filter(Boolean).join(", ");
  return el("section", { class: "card" }, el("h2", {}, "About this backup"), facts(
    ["Made", when(backup.created_at)],
    ["Size", bytes(backup.size)],
    ["Holds", holdings(backup.parts) || null],
    ["Encrypted", backup.encrypted ? "yes: it opens with its passphrase only" : "no: whoever gets the file can read all of it"],
    ["Verified", verified ? [verified.ok ? "whole, " : "damaged, ", when(verified.at)] : "not yet"],
    ["Cell", cell || null],
    ["Took", backup.seconds === null ? null : duration(backup.seconds)],
    ["File", el("span", { class: "mono" }, backup.file_name)],
    ["SHA-256", backup.sha256 ? el("span", { class: "mono" }, backup.sha256) : null]));
}

/** Offer to look into the archive; it is read only when somebody wants that, and an encrypted one needs the scope `admin`. */
function inside(backup, { signal, mayChange }) {
  if (backup.encrypted && !mayChange) return null;
  const room = el("div", {});
  const open = button("Show the files in it", async () => {
    const { contents } = await import("./contents.js");
    const element = contents({ backup, signal });
    put(room, element);
    element.setAttribute("tabindex", "-1");
    element.focus();
  });
  put(room, el("p", { class: "hint" }, "All files in this backup, as a tree with their sizes."), open);
  return el("section", { class: "card" }, el("h2", {}, "Contents"), room);
}
