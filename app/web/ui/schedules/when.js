/** The fields that say when: simple choices that write the cron line, and the line itself. */

import { el } from "../dom.js";
import { field, select } from "../parts.js";
import { inWords, lineOf, simple, WEEKDAYS } from "./cron.js";

const OFTEN = [["hour", "Every hour"], ["day", "Every day"], ["week", "Every week"], ["month", "Every month"], ["own", "As the cron line says"]];
const NEEDS = { hour: ["minute"], day: ["time"], week: ["time", "weekday"], month: ["time", "day"], own: [] };

/** Make the fields for a cron line and a time zone; `value()` gives both. */
export function whenFields({ cron, timezone }) {
  const parts = choices();
  const line = el("input", { type: "text", class: "mono", required: true, maxlength: 100, autocomplete: "off", spellcheck: "false", value: cron });
  const words = el("p", { class: "said", "aria-live": "polite" });
  const zone = zoneInput(timezone);
  const say = () => { words.textContent = inWords(line.value) || "Whenever the cron line says."; };
  parts.show(simple(cron));
  say();
  line.addEventListener("input", () => {
    parts.show(simple(line.value));
    say();
  });
  parts.onChange(() => {
    const chosen = parts.chosen();
    if (chosen) line.value = lineOf(chosen);
    say();
  });
  const element = el("fieldset", {},
    el("legend", {}, "When"),
    el("div", { class: "row" }, parts.fields),
    words,
    field("Cron line", line, "The same in five fields: minute, hour, day of the month, month, weekday. Change it here if you know how."),
    field("Time zone", zone.input, "Where the clock shows that time, such as Europe/Berlin. Summer time is taken care of."),
    zone.list);
  return { element, value: () => ({ cron: line.value.trim(), timezone: zone.input.value.trim() }) };
}

function choices() {
  const inputs = {
    often: select(OFTEN),
    minute: el("input", { type: "number", required: true, min: 0, max: 59, value: 0 }),
    time: el("input", { type: "time", required: true, value: "02:30" }),
    weekday: select(WEEKDAYS.map((name, number) => [number, name])),
    day: el("input", { type: "number", required: true, min: 1, max: 31, value: 1 }),
  };
  const fields = {
    often: field("How often", inputs.often),
    minute: field("At minute", inputs.minute),
    time: field("At", inputs.time),
    weekday: field("On", inputs.weekday),
    day: field("On day of the month", inputs.day),
  };
  const arrange = () => {
    const needed = NEEDS[inputs.often.value];
    for (const name of ["minute", "time", "weekday", "day"]) {
      fields[name].hidden = !needed.includes(name);
      inputs[name].disabled = !needed.includes(name);
    }
  };
  return {
    fields: Object.values(fields),
    show(parts) {
      for (const [name, value] of Object.entries(parts)) inputs[name].value = value;
      arrange();
    },
    chosen() {
      const isWhole = Object.values(inputs).every((input) => input.disabled || input.validity.valid);
      if (inputs.often.value === "own" || !isWhole) return null;
      return Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value]));
    },
    onChange(listener) {
      for (const input of Object.values(inputs)) {
        input.addEventListener("change", () => {
          arrange();
          listener();
        });
      }
    },
  };
}

/** Make a field for a time zone that knows the names of all; `list` must stand somewhere, too. */
export function zoneInput(timezone) {
  const names = Intl.supportedValuesOf ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : [];
  const list = el("datalist", { id: "time-zones" }, names.map((name) => el("option", { value: name })));
  const input = el("input", { type: "text", required: true, maxlength: 64, list: list.id, autocomplete: "off", spellcheck: "false", value: timezone });
  return { input, list };
}

/** Name the time zone of this browser. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
