/** Shows the components and volumes of a backup or a job, and how each came out. */

import { el } from "./dom.js";
import { bytes, count, duration } from "./format.js";
import { badge, table } from "./parts.js";
import { componentWord, partName } from "./words.js";

const COLUMNS = ["What", "Outcome", { name: "Files", number: true }, { name: "Size", number: true }, { name: "Took", number: true }];

const NOT_DONE = new Set(["pending", "running", "skipped"]);

/** Make the table of components and volumes. */
export function partsTable(parts) {
  return table("Components and volumes", COLUMNS, parts.map((part) => [
    about(part),
    badge(part.outcome),
    ...(NOT_DONE.has(part.outcome) ? ["–", "–", "–"] : [part.files.toLocaleString("en"), bytes(part.bytes), part.seconds ? duration(part.seconds) : "–"]),
  ]));
}

function about(part) {
  const what = part.kind === "component" ? componentWord(part.name) : `${part.path || "a volume"} in ${part.container || "its container"}`;
  return [
    el("strong", {}, partName(part)),
    what ? el("div", { class: "hint" }, what) : null,
    part.error ? fault(part.error) : null,
    lines(part.warnings, "warning"),
    lines(part.damaged, "damaged file"),
  ];
}

/** Show why something failed, and what to do about it. */
export function fault({ message, hint }) {
  return el("div", { class: "fault" }, el("p", {}, message), hint ? el("p", { class: "hint" }, hint) : null);
}

/** Show lines that few want to read, folded away; nothing where there are none. */
export function lines(texts, noun) {
  if (!texts || texts.length === 0) return null;
  return el("details", {}, el("summary", {}, count(texts.length, noun)), el("ul", { class: "lines" }, texts.map((text) => el("li", {}, text))));
}
