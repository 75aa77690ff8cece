/** What is to be known of a backup, in a word each. */

import { exactly, ago } from "./format.js";
import { badge, mark } from "./parts.js";
import { el } from "./dom.js";

/** Make the badges of a backup. */
export function badgesOf(backup) {
  const { outcome, encrypted, verified, expires_at: expires, described, choice } = backup;
  const isBroken = Boolean(verified) && !verified.ok;
  return el("span", { class: "badges" },
    isBroken ? titled(mark("bad", "damaged"), verified.at) : null,
    outcome && !isBroken ? badge(outcome) : null,
    encrypted ? mark("note", "encrypted") : null,
    verified && verified.ok ? titled(mark("good", `verified ${ago(verified.at)}`), verified.at) : null,
    expires ? mark("faint", "safety archive") : null,
    choice.length && !expires ? mark("warn", "not everything") : null,
    described ? null : mark("faint", "came from elsewhere"));
}

function titled(badge, at) {
  badge.title = exactly(at);
  return badge;
}
