/** The third step of a restore: the cell's name is typed, and it begins. */

import { el, put } from "../dom.js";
import { count } from "../format.js";
import { box, button, field, problemBox } from "../parts.js";
import { totals } from "./plan.js";
import { running } from "./running.js";

const UNNAMED = "restore";
const SAVED = {
  full: ["What is replaced is saved first, as a backup of its own.", "If a step fails, everything is put back."],
  files: ["The cell's files are saved first. The data of the services is not.", "If a step fails, the files are put back, but the data of the services cannot be."],
  none: ["Nothing is saved first: what is replaced is gone once the restore has succeeded.", "If a step fails, the files are put back, but the data of the services cannot be."],
};

/**
 * Ask for the name, then call `start`, which gives what the service answers, and show the restore until its end;
 * `entitle(step, text)` says above it all where the restore is.
 */
export function confirming({ backup, plan, wish, start, onBack, entitle, signal }) {
  const name = plan.cell.cell_name || plan.archive.cell_name;
  const wanted = typed(name || UNNAMED);
  const input = el("input", { autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true });
  const begin = el("button", { type: "submit", class: "bad", disabled: true }, "Restore now");
  const answer = el("div", {});
  const isRight = () => typed(input.value) === wanted;
  input.addEventListener("input", () => { begin.disabled = !isRight(); });

  const label = name ? ["Type the cell's name, ", el("code", { class: "word" }, name), ", to confirm"] : ["Type the word ", el("code", { class: "word" }, wanted), " to confirm"];
  const help = name ? "" : "This cell has no name in its configuration.";
  const form = el("form", { class: "card", on: { submit } },
    summary(plan),
    box(wish.safety === "full" ? "note" : "warn", SAVED[wish.safety].map((text) => el("p", {}, text))),
    field(label, input, help),
    answer,
    el("div", { class: "buttons" }, button("Back", onBack), begin));
  const element = el("div", {}, form);

  async function submit(event) {
    event.preventDefault();
    if (!isRight() || begin.disabled) return;
    begin.disabled = true;
    put(answer);
    try {
      const { job_id: jobId } = await start();
      wish.passphrase = "";
      put(element, running({ jobId, backup, plan, wish, entitle, signal }));
      entitle(2, "The restore is under way");
    } catch (error) {
      if (error.name === "AbortError") return;
      begin.disabled = false;
      put(answer, problemBox(error), error.more?.job_id ? el("p", {}, el("a", { href: `#/jobs/${error.more.job_id}` }, "Look at that job")) : null);
      if (!("status" in error)) throw error;
    }
  }
  return element;
}

/** Give a text as it can be typed after what is seen: a page shows several blanks as one, and none at the ends. */
const typed = (text) => text.trim().replace(/\s+/g, " ");

function summary(plan) {
  const sums = totals(plan);
  const files = [
    sums.create ? `${count(sums.create, "file")} created` : null,
    sums.replace ? `${count(sums.replace, "file")} replaced` : null,
    sums.remove ? `${count(sums.remove, "file")} removed` : null,
  ].filter(Boolean);
  const volumes = plan.volumes.map((volume) => `the data ${volume.name} ${volume.mode === "equal" ? "replaced" : "laid over what is there"}`);
  const all = [...files, ...volumes].filter(Boolean);
  if (all.length === 0) return el("p", { class: "lead" }, "All files are as the backup has them already; nothing will change.");
  return [el("p", { class: "lead" }, "This is what happens now:"), el("ul", {}, all.map((text) => el("li", {}, text)))];
}
