/** Asks for passphrases; they are held nowhere but in their fields. */

import { el } from "./dom.js";
import { box, dialogue, field, form } from "./parts.js";

const LONGEST = 1024;
const WARNING = "Without this passphrase nobody can open the backup, and nobody can recover it: it is not kept anywhere. "
  + "Write it down, and not only on the machine that you are backing up.";

/** Make the fields for a new passphrase, typed twice, off until somebody wants one; `value()` gives it, or undefined. */
export function newPassphrase() {
  const wanted = el("input", { type: "checkbox" });
  const first = secret("new-password");
  const second = secret("new-password");
  const fields = el("div", { class: "inset", hidden: true },
    box("warn", el("p", {}, WARNING)),
    field("Passphrase", first, "A long one: four or five words that have nothing to do with each other."),
    field("The same again", second),
    reveal(first, second));
  const toggle = () => {
    fields.hidden = !wanted.checked;
    for (const input of [first, second]) {
      input.required = wanted.checked;
      input.disabled = !wanted.checked;
    }
    if (wanted.checked) first.focus();
  };
  const compare = () => second.setCustomValidity(first.value === second.value ? "" : "The two are not the same.");
  wanted.addEventListener("change", toggle);
  for (const input of [first, second]) input.addEventListener("input", compare);
  first.disabled = true;
  second.disabled = true;
  const offer = field("Encrypt it with a passphrase", wanted, "Without one, whoever gets hold of the file can read all keys and data in it.");
  return { element: el("div", {}, offer, fields), value: () => (wanted.checked ? first.value : undefined) };
}

/** Ask for the passphrase of an encrypted backup; `use(passphrase)` may refuse it by throwing, which is shown. */
export function withPassphrase(title, text, doing, use) {
  return dialogue(title, ({ close }) => {
    const input = secret("off");
    input.required = true;
    const send = async () => {
      try {
        close(await use(input.value));
      } catch (error) {
        input.select();
        throw error;
      }
    };
    return form([el("p", {}, text), field("Passphrase", input), reveal(input)], doing, send, { cancel: () => close() });
  });
}

/** Make the input of one passphrase. */
export function secret(autocomplete) {
  return el("input", { type: "password", maxlength: LONGEST, autocomplete, autocapitalize: "none", spellcheck: "false" });
}

/** Offer to show what is typed into inputs. */
export function reveal(...inputs) {
  const shown = el("input", { type: "checkbox" });
  shown.addEventListener("change", () => {
    for (const input of inputs) input.type = shown.checked ? "text" : "password";
  });
  return field("Show what I type", shown);
}
