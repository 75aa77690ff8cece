/** The fields for the rules of retention. */

import { el } from "../dom.js";
import { further } from "../further.js";
import { field } from "../parts.js";
import { zoneInput } from "../schedules/when.js";
import { RULES } from "./words.js";

const SHRUNK = "Nothing is removed while the newest backup is smaller than this share of the usual size: something may be missing in it. Nothing is removed either while it is partial or damaged, or while the last backup failed. 0 turns off the look at the size, not the rest.";

/** Make the fields for a policy; `value()` gives it as the service takes it. */
export function ruleFields(policy) {
  const counts = Object.fromEntries(RULES.map(([name]) => [name, number(policy[`keep_${name}`], 100000)]));
  const zone = zoneInput(policy.timezone);
  const undescribed = el("input", { type: "checkbox", checked: policy.undescribed });
  const shrink = el("input", { type: "number", required: true, min: 0, max: 100, step: "any", value: Number((policy.shrink_limit * 100).toFixed(6)) });
  const element = el("div", {},
    el("div", { class: "counts" }, RULES.map(([name, label, help]) => field(label, counts[name], help))),
    further(
      field("Smallest share of the usual size (per cent)", shrink, SHRUNK),
      field("Time zone", zone.input, "Where days begin at midnight."),
      zone.list,
      field("Remove uploaded and foreign archives too", undescribed, "Otherwise archives that this service did not make stay until somebody deletes them.")));
  const value = () => ({
    ...Object.fromEntries(Object.entries(counts).map(([name, input]) => [`keep_${name}`, input.value === "" ? null : Number(input.value)])),
    timezone: zone.input.value.trim(),
    undescribed: undescribed.checked,
    shrink_limit: Number(shrink.value) / 100,
  });
  return { element, value };
}

function number(value, max) {
  return el("input", { type: "number", min: 0, max, placeholder: "none", value: value === null ? "" : value });
}
