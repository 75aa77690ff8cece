/** One job: how far it is, how it ended, and what to do then. */

import { pageOf } from "../actions.js";
import { get, post } from "../api.js";
import { lines, partsTable } from "../components.js";
import { el, put, redraw } from "../dom.js";
import { ENDED, follow } from "../following.js";
import { duration } from "../format.js";
import { badge, box, button, confirmed, facts, problemBox, when } from "../parts.js";
import { progressBar } from "../progress.js";
import { jobWord, stageWord } from "../words.js";
import { deliveries } from "../job/deliveries.js";
import { outcome } from "../job/outcome.js";

const WHAT_CANCELLING_DOES = {
  backup: "What has been saved so far is thrown away. The cell itself is not touched.",
  verify: "The backup stays as it is; only whether it is whole is not known.",
  restore: "The restore stops at its next step, and everything that it has changed is put back as it was.",
  prune: "Backups that have been removed already do not come back; the others stay.",
};

export default {
  title: "Job",

  /** Show the job, and follow it to its end. */
  async show({ main, parameters: [jobId], session, signal }) {
    const mayChange = session.scope === "admin";
    const room = Object.fromEntries(["heading", "live", "outcome", "parts", "notes", "facts", "told"].map((name) => [name, el("div", {})]));
    const status = el("p", { class: "hidden", role: "status" });
    let live = null;
    let last = {};

    function show(job) {
      const before = last;
      last = job;
      if (ENDED.has(job.state)) return;
      live ??= liveCard(job, mayChange);
      if (!live.element.isConnected) put(room.live, live.element);
      live.show(job);
      say(stageWord(job));
      if (job.state !== before.state) drawFrame(room, job);
      if (job.components !== before.components) drawParts(room, job);
      if (before.progress && (job.progress.current !== before.progress.current || job.state !== before.state)) more();
    }
    /** Look at all of a running job: what its stream tells has no parts and no times in it. */
    async function more() {
      try {
        const job = await get(`api/jobs/${encodeURIComponent(jobId)}`, { signal });
        if (ENDED.has(job.state) || ENDED.has(last.state)) return; // it may have ended while this was on its way
        drawFrame(room, job);
        drawParts(room, job);
      } catch (error) {
        if (!("status" in error) && error.name !== "AbortError") throw error; // the stream goes on, or says what is wrong
      }
    }
    const say = (text) => {
      if (status.textContent !== text) put(status, text);
    };
    const first = await get(`api/jobs/${encodeURIComponent(jobId)}`, { signal });
    show(first);
    put(main, status, ...Object.values(room));
    if (ENDED.has(first.state)) drawEnd(room, first);
    run().catch((error) => failed(room, error));

    async function run() {
      const job = ENDED.has(first.state) ? first : await follow(jobId, show, signal);
      if (job !== first) {
        drawEnd(room, job);
        say(`${jobWord(job)}: ${badge(job.state).textContent}`);
      }
      await deliveries(room.told, { job, mayChange, signal });
    }
  },
};

function failed(room, error) {
  if (error.name === "AbortError") return;
  put(room.outcome, problemBox(error));
  if (!("status" in error)) throw error;
}

function liveCard(job, mayChange) {
  const bar = progressBar(`Progress of the job: ${jobWord(job)}`);
  const cancel = button("Cancel", async () => {
    if (await confirmed("Cancel this job?", WHAT_CANCELLING_DOES[job.kind] || "It stops at its next step.", "Cancel the job")) {
      show(await post(`api/jobs/${job.job_id}/cancel`));
    }
  });
  const behind = el("p", { class: "hint" }, "It goes on if you leave this page.");
  const element = el("section", { class: "card" }, bar.element, el("div", { class: "buttons apart" }, behind, mayChange ? cancel : null));
  function show(now) {
    if (ENDED.has(now.state)) return;
    bar.show(now);
    cancel.hidden = now.cancel_requested;
  }
  return { element, show };
}

function drawEnd(room, job) {
  drawFrame(room, job);
  drawParts(room, job);
  put(room.live);
  put(room.outcome, outcome(job));
  put(room.notes, job.warnings.length ? box("warn", lines(job.warnings, "warning")) : null);
}

function drawFrame(room, job) {
  put(room.heading,
    el("p", { class: "back" }, el("a", { href: "#/jobs" }, "All jobs")),
    el("div", { class: "title named" }, el("h1", {}, jobWord(job)), badge(job.state)));
  const took = job.finished_at && job.started_at ? (new Date(job.finished_at) - new Date(job.started_at)) / 1000 : null;
  const archive = job.backup_id ? el("a", { class: "mono", href: pageOf(job.backup_id) }, job.backup_id) : null;
  const isThere = job.kind !== "backup" || job.state === "succeeded" || job.state === "partial";
  redraw(room.facts, el("section", { class: "card" }, el("h2", {}, "About this job"), facts(
    ["Backup", isThere ? archive : null],
    ["Asked for", when(job.created_at)],
    ["By", job.asked_by],
    ["Began", job.started_at ? when(job.started_at) : null],
    ["Ended", job.finished_at ? when(job.finished_at) : null],
    ["Took", took === null ? null : duration(took)],
    ["Job id", el("span", { class: "mono" }, job.job_id)])));
}

function drawParts(room, job) {
  redraw(room.parts, job.components.length
    ? el("section", { class: "card" }, el("h2", {}, "Components and volumes"), partsTable(job.components))
    : null);
}
