/** What is to be known of a backup, in a word each. */

import { exactly, ago } from "./format.js";
import { badge, mark } from "./parts.js";
import { el } from "./dom.js";

/** Make the badges of a backup. */
export function badgesOf(backup) {
  const { outcome, encrypted, verified, expires_at: expires, described } = backup;
  return el("span", { class: "badges" },
    outcome ? badge(outcome) : null,
    encrypted ? mark("note", "encrypted") : null,
    verified ? verification(verified) : null,
    expires ? mark("faint", "safety archive") : null,
    described ? null : mark("faint", "came from elsewhere"));
}

function verification({ ok, at }) {
  const made = ok ? mark("good", `verified ${ago(at)}`) : mark("bad", "damaged");
  made.title = exactly(at);
  return made;
}
