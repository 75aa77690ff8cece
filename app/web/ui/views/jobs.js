/** The jobs that wait, run, or are remembered. */

import { get } from "../api.js";
import { el, put, redraw } from "../dom.js";
import { count, duration } from "../format.js";
import { ENDED } from "../following.js";
import { badge, button, field, select, table, tellProblem, when } from "../parts.js";
import { repeat } from "../waiting.js";
import { jobWord } from "../words.js";

const PAGE = 25;
const BUSY_SECONDS = 5;
const QUIET_SECONDS = 20;
const KINDS = [["", "All kinds"], ["backup", "Backup"], ["verify", "Verification"], ["restore", "Restore"], ["prune", "Retention"]];
const STATES = [
  ["", "All states"],
  ["queued", "Waiting"],
  ["running", "Running"],
  ["succeeded", "Succeeded"],
  ["partial", "Partial"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
];

export default {
  title: "Jobs",

  /** List the jobs, newest first, and keep the list up to date. */
  async show({ main, query, signal }) {
    const wanted = { kind: query.get("kind") || "", state: query.get("state") || "", offset: 0 };
    const list = el("div", {});
    const trouble = el("div", {});
    let seen = "";

    async function look() {
      const asked = { ...wanted };
      const filter = new URLSearchParams(Object.entries({ limit: PAGE, ...asked }).filter(([, value]) => value !== ""));
      const { jobs, total } = await get(`api/jobs?${filter}`, { signal });
      if (asked.offset !== wanted.offset || asked.kind !== wanted.kind || asked.state !== wanted.state) return BUSY_SECONDS;
      const now = JSON.stringify([jobs, total, asked]);
      if (now !== seen) redraw(list, jobs.length ? drawn(jobs) : nothing(asked), pages(total, asked.offset, turn));
      seen = now;
      return jobs.every((job) => ENDED.has(job.state)) ? QUIET_SECONDS : BUSY_SECONDS;
    }

    const turn = (offset) => {
      wanted.offset = offset;
      return look();
    };
    const choose = (name) => (event) => {
      wanted[name] = event.target.value;
      history.replaceState(null, "", addressOf(wanted));
      turn(0).catch(tellProblem);
    };
    const seconds = await look();
    put(main,
      el("h1", {}, "Jobs"),
      el("p", { class: "hint" }, "Every backup, restore, verification and removal by rule is a job. One at a time works on the cell; the others wait."),
      el("div", { class: "filters" },
        field("Kind", select(KINDS, wanted.kind, { change: choose("kind") })),
        field("State", select(STATES, wanted.state, { change: choose("state") }))),
      trouble, el("section", { class: "card", "aria-label": "Jobs" }, list));
    repeat(look, { seconds, signal, trouble });
  },
};

function addressOf({ kind, state }) {
  const query = new URLSearchParams(Object.entries({ kind, state }).filter(([, value]) => value));
  return query.size ? `#/jobs?${query}` : "#/jobs";
}

function drawn(jobs) {
  return table("Jobs, newest first", ["What", "State", "When", { name: "Took", number: true }, "Asked by"], jobs.map((job) => [
    el("a", { href: `#/jobs/${job.job_id}` }, jobWord(job)),
    [badge(job.state), job.state === "running" ? el("span", { class: "percent" }, ` ${Math.floor(job.progress.percent)} %`) : null],
    when(job.started_at || job.created_at),
    took(job),
    job.asked_by || "–",
  ]));
}

function took({ started_at: began, finished_at: ended }) {
  return began && ended ? duration((new Date(ended) - new Date(began)) / 1000) : "–";
}

function nothing({ kind, state }) {
  return el("p", {}, kind || state ? "No job is like that." : "There has been no job yet.");
}

function pages(total, offset, turn) {
  if (total <= PAGE) return null;
  const last = Math.min(offset + PAGE, total);
  return el("nav", { class: "pages", "aria-label": "Pages of the list" },
    button("Newer", () => turn(Math.max(0, offset - PAGE)), { disabled: offset === 0 }),
    el("span", { class: "hint" }, `${offset + 1} to ${last} of ${count(total, "job")}`),
    button("Older", () => turn(offset + PAGE), { disabled: last === total }));
}
