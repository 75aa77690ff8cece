/** The pieces that every view is made of. */

import { el, freshId, put, tell } from "./dom.js";
import { ago, exactly } from "./format.js";

/** Show what went wrong, in the service's own words. */
export function problemBox(error) {
  return el("div", { class: "box bad", role: "alert" }, el("p", {}, error.message), error.hint ? el("p", { class: "hint" }, error.hint) : null);
}

/** Tell what went wrong where there is no better place for it; what is no answer of the service is thrown again. */
export function tellProblem(error) {
  if (error.name === "AbortError") return;
  tell([error.message, error.hint].filter(Boolean).join(" "));
  if (!("status" in error)) throw error;
}

/** Show a message: `kind` is `good`, `bad`, `warn` or `note`. */
export function box(kind, ...children) {
  return el("div", { class: `box ${kind}` }, ...children);
}

/** Show a time, relative, with the exact one beside it on demand. */
export function when(time) {
  return time ? el("time", { class: "ago", datetime: time, title: exactly(time) }, ago(time)) : el("span", { class: "faint" }, "never");
}

const STATES = {
  queued: ["waiting", "note"],
  running: ["running", "note"],
  succeeded: ["succeeded", "good"],
  partial: ["partial", "warn"],
  failed: ["failed", "bad"],
  cancelled: ["cancelled", "faint"],
  skipped: ["skipped", "warn"],
  pending: ["not done", "faint"],
};

/** Say all times that `when` shows anew; time passes. */
export function keepTime() {
  for (const time of document.querySelectorAll("time.ago")) time.textContent = ago(time.dateTime);
}

/** Show a state or an outcome as a word in its colour; the word alone says it too. */
export function badge(state) {
  const [word, kind] = STATES[state] || [state || "unknown", "faint"];
  return mark(kind, word);
}

/** Show a word in the colour of its kind: `good`, `bad`, `warn`, `note` or `faint`. */
export function mark(kind, ...words) {
  return el("span", { class: `badge ${kind}` }, ...words);
}

/** Make a button; `onPress` may be asynchronous: the button is out of use until it is done, and what it throws is told. */
export function button(label, onPress, { kind = "", ...attributes } = {}) {
  const made = el("button", { type: "button", class: kind, ...attributes }, label);
  made.addEventListener("click", async () => {
    made.setAttribute("aria-disabled", "true");
    if (made.dataset.busy) return;
    made.dataset.busy = "yes";
    try {
      await onPress(made);
    } catch (error) {
      tellProblem(error);
    } finally {
      delete made.dataset.busy;
      made.removeAttribute("aria-disabled");
    }
  });
  return made;
}

/** Make a labelled field: `input` is an element that has no id yet, `help` a sentence below it. */
export function field(label, input, help = "") {
  input.id = freshId("field");
  const described = help ? el("span", { class: "hint", id: `${input.id}-help` }, help) : null;
  if (described) input.setAttribute("aria-describedby", described.id);
  const isBox = input.type === "checkbox" || input.type === "radio";
  const name = el("label", { for: input.id }, label);
  return el("div", { class: isBox ? "field tick" : "field" }, isBox ? [input, name] : [name, input], described);
}

/** Make a list to choose from: pairs of a value and what is shown; `on` are its listeners. */
export function select(pairs, chosen, on = {}) {
  return el("select", { on }, pairs.map(([value, label]) => el("option", { value, selected: value === chosen }, label)));
}

/**
 * Make a table: `columns` are headings, or {name, number: true} for numbers; `rows` are arrays of cells. The roles are said
 * because on a phone the rows are cards, and browsers take what is no longer laid out as a table for none.
 */
export function table(caption, columns, rows) {
  const known = columns.map((column) => (typeof column === "string" ? { name: column } : column));
  const head = known.map(({ name, number }) => el("th", { scope: "col", role: "columnheader", class: number && "number" }, name));
  const lines = rows.map((cells) => el("tr", { role: "row" }, cells.map((cell, index) => cellOf(known[index], cell))));
  return el("table", { role: "table" },
    el("caption", { class: "hidden" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, lines));
}

function cellOf({ name, number }, content) {
  return el("td", { role: "cell", class: number && "number", data: { column: name } }, el("div", {}, content));
}

/** Show facts as names with values: pairs; a pair whose value is null is left out. */
export function facts(...pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el("dl", { class: "facts" }, known.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/**
 * Open a dialogue and wait until it is closed; gives what it was closed with (`close(value)`), undefined for Escape and Cancel.
 * `build({close, dialog})` gives its contents; they should hold their own buttons.
 */
export function dialogue(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: freshId("dialogue") }, title);
    const dialog = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": heading.id });
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    put(dialog, heading, build({ close, dialog }), el("div", { class: "told", role: "status" }));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask whether to go on; true where the person pressed the button that says what is done. */
export async function confirmed(title, text, doing, { kind = "bad", no = "Cancel" } = {}) {
  return Boolean(await dialogue(title, ({ close }) => [
    el("p", {}, text),
    el("div", { class: "buttons" }, button(no, () => close(false)), button(doing, () => close(true), { kind })),
  ]));
}

/**
 * Make a form: `onSubmit` may be asynchronous, and what it throws is shown in the form. `doing` is what its button says,
 * `cancel` is called by its Cancel button, where there is one.
 */
export function form(fields, doing, onSubmit, { cancel, kind = "main" } = {}) {
  const answer = el("div", {});
  const submit = el("button", { type: "submit", class: kind }, doing);
  const send = async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled")) return;
    submit.setAttribute("aria-disabled", "true");
    put(answer);
    try {
      await onSubmit();
    } catch (error) {
      if (error.name === "AbortError") return;
      put(answer, problemBox(error));
      if (!("status" in error)) throw error;
    } finally {
      submit.removeAttribute("aria-disabled");
    }
  };
  const buttons = el("div", { class: "buttons" }, cancel ? button("Cancel", () => cancel()) : null, submit);
  return el("form", { on: { submit: send } }, fields, answer, buttons);
}
