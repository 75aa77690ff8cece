/** Chooses of what a schedule makes backups: everything, or some components and services. */

import { el } from "../dom.js";
import { field } from "../parts.js";
import { componentWord } from "../words.js";

/** Make the ticks for the parts that earlier backups had; what nobody touches stays as it was. */
export function partChoice(known, { components, services }) {
  const isAll = components === null && services === null;
  const componentTicks = ticks(known.filter((part) => !part.service).map((part) => part.name), isAll ? [] : components, componentWord);
  const serviceTicks = ticks(known.map((part) => part.service).filter(Boolean), isAll ? [] : services, () => "its data");
  let isTouched = false;
  const value = () => {
    if (!isTouched) return { components, services };
    const chosen = { components: componentTicks.chosen(), services: serviceTicks.chosen() };
    return chosen.components.length + chosen.services.length ? chosen : { components: null, services: null };
  };
  if (componentTicks.fields.length + serviceTicks.fields.length === 0) return { element: null, value };
  const element = el("div", { on: { change: () => { isTouched = true; } } },
    el("p", { class: "hint" }, "For backups of only a part of the cell, tick what to save. With nothing ticked, everything is saved."),
    group("Components", componentTicks.fields),
    group("Services", serviceTicks.fields));
  return { element, value };
}

/** Make a tick for each name; `wanted` null means all of them. */
function ticks(names, wanted, word) {
  const all = [...new Set([...names, ...(wanted || [])])];
  const boxes = all.map((name) => el("input", { type: "checkbox", value: name, checked: wanted === null || wanted.includes(name) }));
  return {
    fields: boxes.map((box) => field(box.value, box, word(box.value))),
    chosen: () => boxes.filter((box) => box.checked).map((box) => box.value),
  };
}

function group(legend, fields) {
  return fields.length ? el("fieldset", {}, el("legend", {}, legend), el("div", { class: "row" }, fields)) : null;
}
