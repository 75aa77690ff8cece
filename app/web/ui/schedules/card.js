/** Shows one schedule: what it does, when next, and what came of the last time. */

import { el } from "../dom.js";
import { count, duration, exactly } from "../format.js";
import { badge, facts, mark, when } from "../parts.js";
import { inWords } from "./cron.js";

const SHOWN = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const OUTCOME_KINDS = { started: "note", refused: "bad" };
const OUTCOMES = {
  skipped: "Left out, because the job before had not ended.",
  missed: "Missed, because the service did not run.",
  refused: "No job could be begun.",
  started: "A job was begun.",
};

/** Make the card of a schedule; `jobs` are the jobs that are known, by id. */
export function scheduleCard(schedule, jobs, buttons) {
  const state = schedule.enabled ? null : mark("warn", "turned off");
  return el("section", { class: "card", "aria-label": `Schedule ${schedule.name}` },
    el("div", { class: "title" }, el("h2", {}, schedule.name, " ", state), buttons.length ? el("div", { class: "buttons" }, buttons) : null),
    facts(
      ["Does", doing(schedule)],
      ["When", timing(schedule)],
      ["Next", schedule.enabled ? nextTimes(schedule) : "Nothing is done while it is turned off."],
      ["Last time", lastTime(schedule.last_result, jobs)],
      ["If missed or busy", rules(schedule)],
    ));
}

function doing({ kind, label, passphrase_file: path, components, services }) {
  const what = kind === "backup" ? backedUp(components, services) : "Verifies the newest backup";
  const locked = kind === "backup" ? "encrypted" : "opened";
  return [
    what, label && kind === "backup" ? `, labelled “${label}”` : "",
    el("div", { class: "hint" }, path ? [`${locked} with the passphrase in `, el("code", {}, path)] : kind === "backup" ? "not encrypted" : null),
  ];
}

function backedUp(components, services) {
  if (components === null && services === null) return "Backs up everything";
  const chosen = [listed(components, "component"), listed(services, "service")].filter(Boolean);
  return `Backs up ${chosen.join(" and ") || "nothing"}`;
}

function listed(names, noun) {
  if (names === null) return `all ${noun}s`;
  return names.length ? `the ${names.length === 1 ? noun : `${noun}s`} ${names.join(", ")}` : "";
}

function timing({ cron, timezone, jitter, source }) {
  const from = source === "settings" ? el("div", { class: "hint" }, "comes from the setting ", el("code", {}, "CELL_BACKUP_SCHEDULE")) : null;
  const later = jitter ? `, up to ${jitter % 60 ? duration(jitter) : count(jitter / 60, "minute")} later` : "";
  return [inWords(cron) || "As the cron line says", later, el("div", { class: "hint" }, "cron line ", el("code", {}, cron), `, time zone ${timezone}`), from];
}

function nextTimes({ next_runs: [next, ...others], timezone }) {
  if (!next) return "Never again.";
  return [
    when(next), el("span", { class: "hint" }, ` · ${inZone(next, timezone)}`),
    others.length ? el("details", {}, el("summary", {}, `and ${others.length} more`), el("ul", { class: "times" }, others.map((time) => el("li", {}, inZone(time, timezone))))) : null,
  ];
}

function inZone(time, timeZone) {
  try {
    return new Date(time).toLocaleString("en-GB", { ...SHOWN, timeZone });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return `${exactly(time)} by this computer's clock`; // the service knows time zones that this browser does not
  }
}

function lastTime(last, jobs) {
  if (!last) return "It has not been its turn yet.";
  const job = last.outcome === "skipped" ? undefined : jobs.get(last.job_id);
  const missed = last.missed ? ` ${count(last.missed, "time")} before it passed while the service did not run.` : "";
  return [
    job ? badge(job.state) : mark(OUTCOME_KINDS[last.outcome] || "warn", last.outcome), " ", when(last.at),
    last.fire_time ? null : el("span", { class: "hint" }, " · by hand"),
    last.job_id ? [" · ", el("a", { href: `#/jobs/${encodeURIComponent(last.job_id)}` }, last.outcome === "skipped" ? "the job before" : "the job")] : null,
    el("div", { class: "hint" }, last.message || OUTCOMES[last.outcome], missed),
  ];
}

function rules({ catch_up: catchUp, overlap }) {
  const off = catchUp ? "A time that was missed is made up for once" : "A time that was missed is not made up for";
  const busy = overlap === "skip" ? "a time is left out while the last job has not ended." : "a job waits until the last one has ended.";
  return el("span", { class: "hint" }, `${off}; ${busy}`);
}
