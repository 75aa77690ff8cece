/** What runs now, live, and what waits behind it. */

import { el, put } from "../dom.js";
import { follow } from "../following.js";
import { count } from "../format.js";
import { progressBar } from "../progress.js";
import { jobWord } from "../words.js";

/** Make the part of the page that `show(jobs)` tells what runs; `onEnd` is called when what runs has ended. */
export function runningJobs({ signal, onEnd }) {
  const element = el("div", {});
  let shown = null;
  let isBusy = false;

  async function watch(job) {
    const bar = progressBar(jobWord(job));
    const behind = el("p", { class: "hint" });
    shown = { job_id: job.job_id, behind };
    put(element, el("section", { class: "card" },
      el("h2", {}, "Now: ", el("a", { href: `#/jobs/${job.job_id}` }, jobWord(job))), bar.element, behind));
    bar.show(job);
    try {
      await follow(job.job_id, bar.show, signal);
    } finally {
      shown = null; // where following it failed, what stands here would not change any more
      put(element);
    }
    await onEnd();
  }

  function show(jobs) {
    const active = jobs.filter((job) => ["queued", "running"].includes(job.state));
    const first = active.find((job) => job.state === "running") || active.at(-1);
    isBusy = Boolean(first);
    if (!first) return;
    if (!shown) watch(first).catch(forgiven);
    put(shown.behind, active.length > 1 ? `${count(active.length - 1, "more job waits", "more jobs wait")}.` : "");
  }
  return { element, show, isBusy: () => isBusy };
}

/** Let go what the next look will find out anyway: the view was left, or the service does not answer. */
function forgiven(error) {
  if (error.name !== "AbortError" && !("status" in error)) throw error;
}
