/** The second step of a restore: a dry run, live, then its plan. */

import { post } from "../api.js";
import { el, put } from "../dom.js";
import { ENDED, follow } from "../following.js";
import { button, problemBox } from "../parts.js";
import { progressBar } from "../progress.js";
import { planView } from "./plan.js";

/**
 * Follow the dry run and show its plan; gives {element, stop}: `stop` ends a dry run that nobody waits for any more.
 * `onPlan` is called with the plan as soon as it is there, `onAgreed` when the person goes on.
 */
export function planning({ jobId, wish, onBack, onAgreed, onPlan, signal }) {
  const leaving = new AbortController();
  const bar = progressBar("Progress of the plan");
  const room = el("div", {}, el("div", { class: "card" }, bar.element), el("div", { class: "buttons" }, button("Back", onBack)));
  const element = el("div", {}, el("p", { class: "hidden", role: "status" }), room);
  const status = element.firstChild;
  let hasEnded = false;

  const stop = () => {
    leaving.abort();
    if (!hasEnded) post(`api/jobs/${encodeURIComponent(jobId)}/cancel`).catch(() => {}); // it may have ended just now
    hasEnded = true;
  };

  async function run() {
    const job = await follow(jobId, (now) => {
      hasEnded = ENDED.has(now.state);
      bar.show(now);
    }, leaving.signal);
    if (signal.aborted) return;
    if (job.state !== "succeeded") {
      put(room, problemBox(job.error || { message: `The plan was not made: ${job.state}.` }), el("div", { class: "buttons" }, button("Back", onBack, { kind: "main" })));
      return;
    }
    const { plan } = job.result;
    onPlan(plan);
    status.textContent = "The plan is ready.";
    put(room, planView(plan, wish), el("div", { class: "buttons" }, button("Back", onBack), button("Go on", () => onAgreed(plan), { kind: "main" })));
  }

  run().catch((error) => {
    if (error.name === "AbortError") return;
    put(room, problemBox(error), el("div", { class: "buttons" }, button("Back", onBack)));
    if (!("status" in error)) throw error;
  });
  return { element, stop };
}
