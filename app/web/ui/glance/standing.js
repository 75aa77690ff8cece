/** How the cell stands: the last good backup. */

import { isGood, nameOf, pageOf, verify } from "../actions.js";
import { badgesOf } from "../badges.js";
import { el, svg } from "../dom.js";
import { bytes, duration } from "../format.js";
import { button, when } from "../parts.js";
import { holdings } from "../words.js";
import { backupButton } from "../views/backup.js";

const WHAT_IT_IS = "A backup saves the cell's configuration, its keys and the data of its services into one file. "
  + "You watch it here while it runs. Afterwards, download the file and keep a copy somewhere else.";

const OLD = 8 * 86_400_000; // a day more than a week: some back up once a week

/** Show the last good backup, or say what to do where there is none. */
export function standing(backups, failures, mayChange) {
  const good = backups.find(isGood);
  if (good) return lastGood(good, failures.some((job) => job.kind === "backup"), mayChange);
  return backups.length ? noneGood(backups[0]) : first(mayChange);
}

function lastGood(backup, hasFailedSince, mayChange) {
  const isOld = Date.now() - new Date(backup.created_at).getTime() > OLD;
  const sign = hasFailedSince || isOld ? "warn" : "good";
  return el("section", { class: "card standing" },
    icon(sign),
    el("div", {},
      el("h2", { class: "verdict" }, "The last good backup was made ", when(backup.created_at)),
      el("p", { class: "hint" }, el("a", { href: pageOf(backup.backup_id) }, nameOf(backup))),
      isOld ? el("p", {}, "Whatever came since then is in no backup. Make one now, and let ", el("a", { href: "#/schedules" }, "a schedule"), " make the next ones.") : null,
      el("dl", { class: "stats" },
        stat("Size", bytes(backup.size), backup.seconds === null ? "" : `made in ${duration(backup.seconds)}`),
        stat("Holds", holdings(backup.parts) || "unknown", "configuration, keys, data"),
        stat("Encrypted", backup.encrypted ? "yes" : "no", backup.encrypted ? "opens with its passphrase only" : "whoever gets the file can read it"),
        stat("Verified", ...verification(backup, mayChange)))));
}

function stat(name, value, more) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, el("div", { class: "value" }, value), more ? el("div", { class: "hint" }, more) : null));
}

function verification(backup, mayChange) {
  if (backup.verified) return ["yes", ["it was whole ", when(backup.verified.at)]];
  return ["not yet", mayChange ? button("Verify it now", () => verify(backup), { kind: "small" }) : ""];
}

function noneGood(newest) {
  return el("section", { class: "card standing" },
    icon("bad"),
    el("div", {},
      el("h2", { class: "verdict" }, "There is no good backup yet"),
      el("p", {}, "A good backup is one of the whole cell, with nothing missing, that no verification found broken. This is the newest file here:"),
      el("p", {}, el("a", { href: pageOf(newest.backup_id) }, nameOf(newest)), ", made ", when(newest.created_at), " ", badgesOf(newest))));
}

function first(mayChange) {
  return el("section", { class: "card standing" },
    icon("note"),
    el("div", {},
      el("h2", { class: "verdict" }, "Nothing has been backed up yet"),
      el("p", {}, WHAT_IT_IS),
      el("ol", { class: "steps" },
        el("li", {}, "Make the first backup."),
        el("li", {}, "Let it be made every night: ", el("a", { href: "#/schedules" }, "Schedules"), "."),
        el("li", {}, "Say how many are kept: ", el("a", { href: "#/retention" }, "Retention"), ".")),
      mayChange ? backupButton("Make the first backup") : null,
      el("p", { class: "hint after" }, "Do you have an archive already? ", el("a", { href: "#/upload" }, "Upload it"), " and restore the cell from it.")));
}

const SIGNS = {
  good: "M7 12.5l3.2 3.2L17 9",
  warn: "M12 7v6M12 16.5v.2",
  bad: "M8.5 8.5l7 7M15.5 8.5l-7 7",
  note: "M12 8v8M8 12h8",
};

function icon(kind) {
  const line = { fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round" };
  return svg("svg", { class: `sign ${kind}`, viewBox: "0 0 24 24", width: 48, height: 48, "aria-hidden": "true" },
    svg("circle", { cx: 12, cy: 12, r: 11, class: "paper" }), svg("path", { d: SIGNS[kind], ...line }));
}
