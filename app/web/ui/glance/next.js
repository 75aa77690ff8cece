/** What is done by itself, and when next. */

import { get } from "../api.js";
import { el, redraw } from "../dom.js";
import { problemBox, when } from "../parts.js";
import { kindWord } from "../words.js";

const SHOWN = 5;
const DAY_AND_TIME = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };

/** Draw the next times of the schedules. */
export async function drawNext(room, { signal, mayChange }) {
  try {
    const { schedules } = await get("api/schedules", { signal });
    redraw(room, card(schedules.filter((schedule) => schedule.enabled), mayChange));
  } catch (error) {
    if (error.name === "AbortError") return;
    redraw(room, el("section", { class: "card" }, el("h2", {}, "Next"), problemBox(error)));
    if (!("status" in error)) throw error;
  }
}

function card(schedules, mayChange) {
  const runs = schedules.flatMap((schedule) => schedule.next_runs.slice(0, 1).map((at) => ({ at, schedule })));
  runs.sort((one, other) => new Date(one.at) - new Date(other.at));
  return el("section", { class: "card" },
    el("h2", {}, "Next"),
    runs.length ? el("ul", { class: "list" }, runs.slice(0, SHOWN).map(line)) : nothing(mayChange),
    runs.length ? el("a", { href: "#/schedules" }, "All schedules") : null);
}

function line({ at, schedule }) {
  const exact = new Date(at).toLocaleString("en-GB", DAY_AND_TIME);
  return el("li", {}, el("strong", {}, `${kindWord(schedule.kind)} “${schedule.name}”`), when(at), el("span", { class: "hint" }, exact));
}

function nothing(mayChange) {
  return [
    el("p", {}, "Nothing is done by itself: there is a backup only when somebody presses the button."),
    mayChange ? el("p", {}, el("a", { href: "#/schedules" }, "Back up every night")) : null,
  ];
}
