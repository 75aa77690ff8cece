/** The dialogue behind "Back up now". */

import { get, post } from "../api.js";
import { el } from "../dom.js";
import { button, dialogue, field, form } from "../parts.js";
import { newPassphrase } from "../passphrases.js";
import { componentWord } from "../words.js";

/** Make the button that asks how and then backs up. */
export function backupButton(label = "Back up now", kind = "main") {
  return button(label, backUp, { kind, "aria-haspopup": "dialog" });
}

async function backUp() {
  const { backups } = await get("api/config/backups?limit=50");
  const job = await dialogue("Back up now", ({ close }) => asked(backups, close));
  if (job) location.hash = `#/jobs/${job.job_id}`;
}

function asked(backups, close) {
  const label = el("input", { type: "text", maxlength: 200, autocomplete: "off", placeholder: "before the update" });
  const passphrase = newPassphrase();
  const choice = choiceAmong(backups.flatMap((backup) => backup.parts));
  const send = async () => {
    const body = { label: label.value.trim() || undefined, passphrase: passphrase.value(), ...choice.value() };
    close(await post("api/config/backup", body));
  };
  const fields = [
    el("p", {}, "Saves the cell's configuration, its keys and the data of its services into one file."),
    field("Label (if you like)", label, "A few words to recognise this backup by."),
    passphrase.element,
    choice.element,
  ];
  return form(fields, "Back up", send, { cancel: () => close() });
}

/** Offer what earlier backups had; nothing ticked means everything. */
function choiceAmong(parts) {
  const components = ticks(new Set(parts.filter((part) => part.kind === "component").map((part) => part.name)), componentWord);
  const services = ticks(new Set(parts.map((part) => part.service).filter(Boolean)), () => "its data");
  const value = () => {
    const chosen = { components: components.chosen(), services: services.chosen() };
    return chosen.components.length + chosen.services.length ? chosen : {};
  };
  if (components.fields.length + services.fields.length === 0) return { element: null, value };
  const element = el("details", {},
    el("summary", {}, "Only a part of the cell"),
    el("p", { class: "hint" }, "Tick what to save. With nothing ticked, everything is saved."),
    group("Components", components.fields),
    group("Services", services.fields));
  return { element, value };
}

function ticks(names, word) {
  const boxes = [...names].map((name) => el("input", { type: "checkbox", value: name }));
  return {
    fields: boxes.map((box) => field(box.value, box, word(box.value))),
    chosen: () => boxes.filter((box) => box.checked).map((box) => box.value),
  };
}

function group(legend, fields) {
  return fields.length ? el("fieldset", {}, el("legend", {}, legend), fields) : null;
}
