/** The first step of a restore: what comes back, and how. */

import { Problem } from "../api.js";
import { el } from "../dom.js";
import { bytes, count } from "../format.js";
import { box, field, form, select } from "../parts.js";
import { reveal, secret } from "../passphrases.js";
import { componentWord } from "../words.js";

const WAYS = [
  ["equal", "Make the cell equal to the backup", "Files that came after the backup are removed. The plan names each of them before anything happens."],
  ["overlay", "Lay the backup over the cell", "Files that the backup does not have stay where they are."],
];
const SAFETY = [
  ["full", "Files and the data of the services", "The whole restore can be taken back later.", (sizes) => sizes.files + sizes.volumes],
  ["files", "The cell's files only", "The data of the services cannot be taken back.", (sizes) => sizes.files],
  ["none", "Nothing", "What is replaced is gone once the restore has succeeded.", () => 0],
];
const REGENERATION = [
  ["", "As the service is set up"],
  ["builtin", "This service makes them"],
  ["hook", "The cell's own API makes them"],
  ["off", "Leave them as the backup has them"],
];

/** Begin with what is wanted of a restore: all of it, in the ways that are the service's own. */
export function newWish() {
  return {
    passphrase: "",
    everything: true,
    components: new Set(),
    services: new Set(),
    mode: "equal",
    safety: "full",
    damaged: "refuse",
    regenerate: "",

    /** Write down what is asked of the service. */
    request({ isDry }) {
      const asked = { dry_run: isDry, mode: this.mode, safety: this.safety, damaged: this.damaged };
      if (this.passphrase) asked.passphrase = this.passphrase;
      if (this.regenerate) asked.regenerate = this.regenerate;
      return this.everything ? asked : { ...asked, components: [...this.components], services: [...this.services] };
    },
  };
}

/** Give what can be chosen of a backup out of the description of its parts; null where nothing describes it. */
export function heldBy(parts) {
  if (parts.length === 0) return null;
  const components = parts.filter((part) => part.kind === "component");
  const services = new Map();
  for (const part of parts.filter((one) => one.service)) services.set(part.service, [...(services.get(part.service) || []), part]);
  return {
    components: components.map((part) => ({ name: part.name, help: componentWord(part.name), size: part.bytes, part })),
    services: [...services].map(([name, volumes]) => ({ name, help: volumes.map((part) => part.name).join(", "), size: sum(volumes) })),
    sizes: { files: sum(components), volumes: sum([...services.values()].flat()) },
    broken: parts.filter((part) => part.outcome === "failed"),
  };
}

/** Give the same out of the plan of a restore of everything. */
export function heldIn(plan) {
  const volumes = [...plan.volumes, ...plan.missing.filter((item) => item.kind === "volume")];
  const services = new Set(volumes.map((item) => item.name.split("/")[0]));
  const components = plan.components.map(({ name, create, replace, leave }) => ({ name, help: componentWord(name), size: create.bytes + replace.bytes + leave.bytes }));
  return {
    components,
    services: [...services].map((name) => ({ name, help: "", size: sum(plan.volumes.filter((item) => item.name.split("/")[0] === name)) })),
    sizes: { files: components.reduce((total, one) => total + one.size, 0), volumes: sum(plan.volumes) },
    broken: plan.missing.filter((item) => item.code === "part_damaged").map((item) => ({ label: item.name, error: item })),
  };
}

const sum = (parts) => parts.reduce((total, part) => total + part.bytes, 0);

/** Make the form of the first step; `onDone` is called with what was chosen in `wish`, and what it throws is shown. */
export function choosing({ backup, wish, held, away, onDone }) {
  const passphrase = backup.encrypted ? secret("off") : null;
  const fields = [
    passphrase && unlocking(passphrase, wish),
    what(wish, held),
    brokenChoice(wish, held),
    radios("Files that came after the backup", "mode", WAYS, wish),
    safetyChoice(wish, held),
    more(wish),
    el("p", { class: "hint" }, "Next comes the plan. For it the whole backup is read, and nothing is changed."),
  ];

  async function send() {
    if (!wish.everything && wish.components.size + wish.services.size === 0) throw new Problem(0, { detail: "Nothing is chosen yet.", hint: "Tick at least one thing that comes back." });
    try {
      await onDone();
    } catch (error) {
      if (error.code === "passphrase_wrong") passphrase.select();
      throw error;
    }
  }
  return form(fields, "Show the plan", send, { cancel: () => { location.hash = away; } });
}

function unlocking(input, wish) {
  input.required = true;
  input.value = wish.passphrase;
  input.addEventListener("input", () => { wish.passphrase = input.value; });
  const help = "This page keeps it until the restore has begun or you leave; nobody else does.";
  return el("div", { class: "card" }, field("Passphrase of this backup", input, help), reveal(input));
}

function what(wish, held) {
  if (held === null) {
    return box("note", el("p", {}, "This backup was made elsewhere, so what is in it is known once it has been read."), el("p", {}, "The plan shows it; from there you can come back and choose."));
  }
  const parts = el("div", { class: "choices" },
    held.components.length ? ticks("The cell's files", held.components, wish.components) : null,
    held.services.length ? ticks("Data of the services", held.services, wish.services) : null);
  const changed = () => { parts.hidden = wish.everything; };
  const everything = radio("everything", "Everything that the backup holds", "", wish.everything, () => { wish.everything = true; changed(); });
  const some = radio("everything", "Only some of it", "", !wish.everything, () => { wish.everything = false; changed(); });
  changed();
  return el("fieldset", { class: "card" }, el("legend", {}, "What comes back"), everything, some, parts);
}

function ticks(title, items, chosen) {
  const made = items.map(({ name, help, size }) => {
    const input = el("input", { type: "checkbox" });
    input.checked = chosen.has(name);
    input.addEventListener("change", () => (input.checked ? chosen.add(name) : chosen.delete(name)));
    return field(name, input, [help, size ? bytes(size) : ""].filter(Boolean).join(" · "));
  });
  return el("fieldset", {}, el("legend", {}, title), made);
}

function radio(name, label, help, isChosen, onChosen) {
  const input = el("input", { type: "radio", name, checked: isChosen });
  input.addEventListener("change", onChosen);
  return field(label, input, help);
}

function radios(title, name, options, wish) {
  const made = options.map(([value, label, help]) => radio(name, label, help, wish[name] === value, () => { wish[name] = value; }));
  return el("fieldset", { class: "card" }, el("legend", {}, title), made);
}

function safetyChoice(wish, held) {
  const options = SAFETY.map(([value, label, help, size]) => {
    const needed = held && size(held.sizes);
    return [value, label, needed ? `${help} About ${bytes(needed)}, or less.` : help];
  });
  return radios("Saved first, as a backup of its own", "safety", options, wish);
}

function brokenChoice(wish, held) {
  if (held === null || held.broken.length === 0) return null;
  const input = el("input", { type: "checkbox" });
  input.checked = wish.damaged === "accept";
  input.addEventListener("change", () => { wish.damaged = input.checked ? "accept" : "refuse"; });
  const names = held.broken.map((part) => part.label || (part.service ? `${part.service}/${part.name}` : part.name));
  const why = held.broken.map((part) => (part.error ? el("li", {}, part.error.message) : null));
  return el("div", { class: "box warn" },
    el("p", {}, `${count(names.length, "part")} of this backup ${names.length === 1 ? "was" : "were"} not saved whole: ${names.join(", ")}.`),
    why.some(Boolean) ? el("ul", {}, why) : null,
    field("Take what there is of it", input, "Otherwise it stays as it is in the cell. What the backup lacks is never removed here."));
}

function more(wish) {
  const choice = select(REGENERATION, wish.regenerate, { change: () => { wish.regenerate = choice.value; } });
  return el("details", { class: "card" }, el("summary", {}, "More"),
    field("Caddyfile, Corefile and routing rules", choice, "They follow from the cell's configuration, so they are made anew at the end."));
}
