/** What is done by itself, and when next. */

import { get } from "../api.js";
import { el, put } from "../dom.js";
import { problemBox, when } from "../parts.js";
import { kindWord } from "../words.js";

const SHOWN = 4;

/** Draw the next times of the schedules. */
export async function drawNext(room, { signal, mayChange }) {
  try {
    const { schedules } = await get("api/schedules", { signal });
    put(room, card(schedules.filter((schedule) => schedule.enabled), mayChange));
  } catch (error) {
    if (error.name === "AbortError") return;
    put(room, el("section", { class: "card" }, el("h2", {}, "Next"), problemBox(error)));
    if (!("status" in error)) throw error;
  }
}

function card(schedules, mayChange) {
  const runs = schedules.flatMap((schedule) => schedule.next_runs.map((at) => ({ at, schedule })));
  runs.sort((one, other) => new Date(one.at) - new Date(other.at));
  return el("section", { class: "card" },
    el("h2", {}, "Next"),
    runs.length ? el("ul", { class: "list" }, runs.slice(0, SHOWN).map(line)) : nothing(mayChange),
    runs.length ? el("a", { href: "#/schedules" }, "All schedules") : null);
}

function line({ at, schedule }) {
  return el("li", {}, when(at), el("span", { class: "hint" }, `${kindWord(schedule.kind)} “${schedule.name}”`));
}

function nothing(mayChange) {
  return [
    el("p", {}, "Nothing is done by itself: there is a backup only when somebody presses the button."),
    mayChange ? el("p", {}, el("a", { href: "#/schedules" }, "Back up every night")) : null,
  ];
}
