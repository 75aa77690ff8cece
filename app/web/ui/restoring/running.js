/** A restore that runs, and how it ended. */

import { post } from "../api.js";
import { el, put } from "../dom.js";
import { duration } from "../format.js";
import { ENDED, follow } from "../following.js";
import { button, confirmed, problemBox } from "../parts.js";
import { progressBar } from "../progress.js";
import { stageWord } from "../words.js";
import { ended, isDone, titleOf } from "./ended.js";

const SAID = { done: "done", now: "under way", todo: "still to come", failed: "failed", skipped: "left out", undone: "put back" };

/** Show a restore from its beginning to its end. */
export function running({ jobId, backup, plan, entitle, signal }) {
  const bar = progressBar("Progress of the restore");
  const steps = checklist(plan);
  const status = el("p", { class: "hidden", role: "status" });
  const cancel = button("Cancel", () => cancelled(jobId), { kind: "" });
  const below = el("div", {},
    el("p", { class: "hint" }, "The restore goes on if you leave this page. ", el("a", { href: `#/jobs/${jobId}` }, "Its job"), " shows how far it is."),
    el("div", { class: "buttons" }, cancel));
  const outcome = el("div", {});
  const element = el("div", {}, status, outcome, el("div", { class: "card" }, bar.element, steps.element), below);

  function show(job) {
    bar.show(job);
    steps.show(job);
    const word = stageWord(job);
    if (!ENDED.has(job.state) && status.textContent !== word) status.textContent = word;
    cancel.hidden = job.cancel_requested || ENDED.has(job.state);
  }

  async function run() {
    const job = await follow(jobId, show, signal);
    put(below);
    bar.element.remove();
    put(outcome, ended({ job, backup }));
    entitle(isDone(job) ? 3 : 2, titleOf(job));
  }

  run().catch((error) => {
    if (error.name === "AbortError") return;
    put(outcome, problemBox(error));
    if (!("status" in error)) throw error;
  });
  return element;
}

async function cancelled(jobId) {
  const text = "The restore stops at its next step, and everything that it has changed is put back as it was.";
  if (await confirmed("Cancel the restore?", text, "Cancel the restore")) await post(`api/jobs/${encodeURIComponent(jobId)}/cancel`);
}

function checklist(plan) {
  const names = ["verify", "plan", "safety", ...plan.components.map((component) => component.name), "reload", "volumes", "regenerate", "finish"];
  const lines = new Map(names.map((name) => [name, stageLine(name)]));
  const element = el("ol", { class: "checklist" }, [...lines.values()].map((line) => line.element));

  function show(job) {
    const steps = job.result?.steps || [];
    if (ENDED.has(job.state)) {
      for (const name of names) lines.get(name).set(stateOf(steps.find((step) => step.stage === name), job.result));
      return;
    }
    const now = names.indexOf(job.stage);
    names.forEach((name, index) => now >= 0 && lines.get(name).set({ state: index < now ? "done" : index === now ? "now" : "todo" }));
  }
  return { element, show };
}

function stageLine(name) {
  const mark = el("span", { class: "hidden" }, `${SAID.todo}: `);
  const time = el("span", { class: "faint" });
  const element = el("li", { class: "todo" }, mark, el("span", {}, stageWord({ kind: "restore", state: "running", stage: name })), time);
  const set = ({ state, seconds }) => {
    element.className = state;
    mark.textContent = `${SAID[state]}: `;
    time.textContent = state === "undone" ? "put back" : state === "skipped" ? "left out" : seconds >= 1 ? duration(seconds) : "";
  };
  return { element, set };
}

function stateOf(step, result) {
  if (!step) return { state: "todo" };
  if (step.state === "failed" || step.state === "running") return { state: "failed" };
  if (step.state === "skipped") return { state: "skipped" };
  const isChange = !["verify", "plan", "safety"].includes(step.stage);
  return { state: isChange && result.rolled_back ? "undone" : "done", seconds: step.seconds };
}
