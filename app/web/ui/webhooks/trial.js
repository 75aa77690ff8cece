/** Tries a receiver with a small signed message. */

import { post } from "../api.js";
import { el, put } from "../dom.js";
import { duration } from "../format.js";
import { box, field, form } from "../parts.js";
import { attemptWords } from "./deliveries.js";

/** Make the form; what it is given is used for one message and kept nowhere. */
export function trialForm() {
  const url = el("input", { type: "url", maxlength: 2048, autocomplete: "off", spellcheck: "false", placeholder: "https://hooks.example/backups" });
  const secret = el("input", { type: "password", maxlength: 512, autocomplete: "off", spellcheck: "false" });
  const result = el("div", { class: "came", "aria-live": "polite" });
  const send = async () => {
    put(result);
    const wanted = { url: url.value.trim() || undefined, secret: secret.value || undefined };
    put(result, cameOf(await post("api/webhooks/test", wanted)));
  };
  return [
    form([
      field("Address", url, "Left empty: the receiver that is told of all jobs."),
      field("Secret (if it is another one)", secret, "Signs the message: whsec_ and base64, or any text of 24 bytes and more. Left empty: the secret of the service."),
    ], "Send a test message", send),
    result,
  ];
}

function cameOf({ origin, delivered, attempt }) {
  const text = delivered ? `${origin} took the message` : `${origin} did not take the message`;
  return box(delivered ? "good" : "bad",
    el("p", {}, el("strong", {}, `${text}: ${attemptWords(attempt)}`), ` (after ${attempt.seconds < 1 ? `${Math.round(attempt.seconds * 1000)} ms` : duration(attempt.seconds)}).`),
    attempt.answer ? el("p", { class: "mono" }, attempt.answer) : null);
}
