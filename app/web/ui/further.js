/** Folds away what few people need to choose. */

import { el } from "./dom.js";

/** Make the fold; it opens by itself where a field in it keeps the form from being sent. */
export function further(...fields) {
  const fold = el("details", { class: "further" }, el("summary", {}, "More choices"), ...fields);
  fold.addEventListener("invalid", () => { fold.open = true; }, true);
  return fold;
}
