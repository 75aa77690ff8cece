/** What a restore would do, for people. */

import { el, put } from "../dom.js";
import { bytes, count, exactly } from "../format.js";
import { box, facts, table } from "../parts.js";
import { componentWord } from "../words.js";

const VERBS = [
  ["create", "new", "New"],
  ["replace", "replaced", "Replaced"],
  ["remove", "removed", "Removed"],
  ["leave", "unchanged", "Unchanged"],
];
const PAGE = 200;

/** Add up what happens to the cell's files: {create, replace, remove, leave}, each in files. */
export function totals(plan) {
  const add = (verb) => plan.components.reduce((total, component) => total + component[verb].files, 0);
  return Object.fromEntries(VERBS.map(([verb]) => [verb, add(verb)]));
}

/** Show a plan; `wish` is what was asked for. */
export function planView(plan, wish) {
  const sums = totals(plan);
  return el("div", { class: "plan" },
    whose(plan),
    el("h3", {}, "The cell's files"),
    el("ul", { class: "tally" }, VERBS.map(([verb, , word]) => el("li", { class: verb === "remove" && sums.remove ? "warn" : "" }, el("strong", {}, sums[verb].toLocaleString("en")), ` ${word.toLowerCase()}`))),
    removal(plan, sums, wish),
    el("div", { class: "card list" }, plan.components.length ? plan.components.map(componentLine) : el("p", { class: "faint" }, "No files come back.")),
    el("h3", {}, "Data of the services"),
    plan.volumes.length ? el("div", { class: "card volumes" }, volumeTable(plan.volumes)) : el("p", { class: "faint" }, "No data of a service comes back."),
    missing(plan.missing),
    emptySecrets(plan.empty_secrets),
    warnings(plan),
    space(plan.space, wish));
}

function whose({ archive, cell }) {
  const here = cell.cell_name;
  const from = archive.cell_name;
  const what = `${count(archive.files, "file")}, ${bytes(archive.bytes)}, read to the last byte and whole`;
  const made = archive.created_at ? ` It was made on ${exactly(archive.created_at)}.` : "";
  const lead = el("p", { class: "lead" }, `The backup holds ${what}.${made}`);
  if (!from || !here || from === here) return lead;
  return [lead, box("warn", el("p", {}, "This is a backup of the cell ", el("strong", {}, from), ". The cell here is called ", el("strong", {}, here), "."))];
}

function removal(plan, sums, wish) {
  if (sums.remove === 0) return null;
  const gone = plan.components.flatMap((component) => component.changes.filter((change) => change.action === "remove" && change.kind !== "folder"));
  const kept = wish.safety === "none" ? "Nothing is saved first: what is removed is gone." : "What is removed is saved first.";
  return box("warn",
    el("p", {}, `${count(sums.remove, "file")} came after the backup, or ${sums.remove === 1 ? "is" : "are"} not in it, and ${sums.remove === 1 ? "is" : "are"} removed. ${kept}`),
    names(gone, sums.remove > gone.length));
}

function componentLine(component) {
  const counts = VERBS.filter(([verb]) => component[verb].files).map(([verb, word]) => el("span", { class: `amount ${verb}` }, `${component[verb].files.toLocaleString("en")} ${word}`));
  const title = el("span", { class: "name" }, el("strong", {}, component.name), el("span", { class: "faint" }, componentWord(component.name)));
  const amounts = el("span", { class: "amounts" }, counts.length ? counts : el("span", { class: "faint" }, "nothing in it"));
  if (component.changes.length === 0) return el("div", { class: "line" }, title, amounts);
  const inside = el("div", {});
  const details = el("details", { class: "line" }, el("summary", {}, title, amounts), inside);
  details.addEventListener("toggle", () => put(inside, details.open ? changesOf(component) : null));
  return details;
}

function changesOf(component) {
  const shown = VERBS.filter(([verb]) => verb !== "leave").map(([verb, , word]) => {
    const mine = component.changes.filter((change) => change.action === verb);
    return mine.length ? [el("h4", {}, word), names(mine, false)] : null;
  });
  return [shown, component.truncated ? el("p", { class: "hint" }, "There are more; these are the first thousand.") : null];
}

/** List paths with their sizes, some hundreds at a time. */
function names(changes, hasMore) {
  const list = el("ul", { class: "paths" });
  const rest = el("div", {});
  let shown = 0;
  const more = () => {
    const next = changes.slice(shown, shown + PAGE).map(pathLine);
    list.append(...next);
    shown += next.length;
    if (shown >= changes.length) {
      put(rest, hasMore ? el("p", { class: "hint" }, "… and others.") : null);
      return;
    }
    put(rest, el("button", { type: "button", class: "quiet", on: { click: () => { more(); next[0].scrollIntoView({ block: "nearest" }); } } }, `Show ${Math.min(PAGE, changes.length - shown)} more`));
  };
  more();
  return el("div", {}, list, rest);
}

function pathLine({ path, kind, action, bytes: size, bytes_now: now }) {
  const change = action === "replace" && size !== undefined && now !== undefined && now !== size ? `${bytes(now)} → ${bytes(size)}` : bytes(size ?? now ?? 0);
  const note = kind === "file" ? change : kind === "folder" && action === "replace" ? "folder, its rights or times" : kind;
  return el("li", {}, el("span", { class: "mono" }, path), el("span", { class: "faint" }, note));
}

function volumeTable(volumes) {
  const rows = volumes.map((volume) => [
    el("strong", {}, volume.name),
    el("span", {}, el("code", {}, volume.container), volume.state ? `, ${volume.state}` : "", el("br"), el("span", { class: "mono faint" }, volume.path)),
    `${count(volume.files, "file")}, ${bytes(volume.bytes)}`,
    volume.bytes_now === null ? el("span", { class: "faint" }, "unknown") : bytes(volume.bytes_now),
    fate(volume),
  ]);
  return table("Data of the services", ["Data", "Goes to", "In the backup", "There now", "What happens"], rows);
}

function fate({ mode, quiesce }) {
  const held = { pause: " The container pauses meanwhile.", stop: " The container is stopped meanwhile." }[quiesce] || "";
  return (mode === "equal" ? "Replaced: what came after the backup is removed." : "Laid over: what is there besides stays.") + held;
}

function missing(items) {
  if (items.length === 0) return null;
  const told = items.map((item) => el("li", {}, el("strong", {}, item.name), ": ", item.message || "it cannot be restored", item.hint ? el("span", { class: "hint" }, ` ${item.hint}`) : null));
  return [el("h3", {}, "Not restored"), box("bad", el("p", {}, "This cannot be brought back now. It stays in the cell as it is, and the rest is restored."), el("ul", {}, told))];
}

function emptySecrets(secrets) {
  if (secrets.length === 0) return null;
  return [el("h3", {}, "Secrets without a value"), box("warn",
    el("p", {}, "After the restore docker-compose.yml asks for these, and .env does not give them a value. The containers would start with empty passwords: fill them in before you restart."),
    el("ul", {}, secrets.map((name) => el("li", {}, el("code", {}, name)))))];
}

function warnings(plan) {
  const told = plan.warnings.filter((warning) => !plan.empty_secrets.some((name) => warning.startsWith(`${name} will be empty:`)));
  if (told.length === 0) return null;
  return [el("h3", {}, "Good to know"), box("note", el("ul", {}, told.map((warning) => el("li", {}, warning))))];
}

function space(found, wish) {
  const safety = wish.safety === "none" ? null : room(found.safety_at_most, found.backups_free, "at most ");
  return [el("h3", {}, "Room"), el("div", { class: "card" }, facts(
    ["The cell's files", room(found.cell_needed, found.cell_free)],
    ["Saved first", safety],
    ["Data of the services", found.volumes_needed ? bytes(found.volumes_needed) : null]))];
}

function room(needed, free, about = "") {
  const tight = free !== null && needed > free;
  const left = free === null ? "" : `, ${bytes(free)} free`;
  return el("span", { class: tight ? "tight" : "" }, `${about}${bytes(needed)}${left}`, tight ? " — there may be too little room" : "");
}
