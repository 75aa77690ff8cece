/** A restore that runs, and how it ended. */

import { post } from "../api.js";
import { el, put } from "../dom.js";
import { duration } from "../format.js";
import { ENDED, follow } from "../following.js";
import { button, confirmed, problemBox } from "../parts.js";
import { progressBar } from "../progress.js";
import { componentWord, stageWord } from "../words.js";
import { ended, isDone, titleOf } from "./ended.js";

const SAID = { done: "done", now: "under way", todo: "still to come", failed: "failed", skipped: "left out", undone: "put back" };

/** Show a restore from its beginning to its end; `wish` is what was asked for. */
export function running({ jobId, backup, plan, wish, entitle, signal }) {
  const bar = progressBar("Progress of the restore");
  let last = null;
  let isCancelled = false; // the stream does not say it
  const steps = checklist(plan, wish);
  const status = el("p", { class: "hidden", role: "status" });
  const cancel = button("Cancel", async () => {
    isCancelled = isCancelled || (await cancelled(jobId, wish.safety));
    show(last);
  });
  const way = el("p", { class: "hint" }, "The restore goes on if you leave this page. ", el("a", { href: `#/jobs/${jobId}` }, "Its job"), " shows how far it is.");
  const head = el("div", { class: "card" }, bar.element, el("div", { class: "beside" }, way, cancel));
  const outcome = el("div", {}, head);
  const element = el("div", {}, status, outcome, el("div", { class: "card" }, steps.element));

  function show(told) {
    last = told;
    const job = { ...told, cancel_requested: told.cancel_requested || isCancelled };
    bar.show(job);
    steps.show(job);
    const word = stageWord(job);
    if (!ENDED.has(job.state) && status.textContent !== word) status.textContent = word;
    cancel.hidden = job.cancel_requested || ENDED.has(job.state);
  }

  async function run() {
    const job = await follow(jobId, show, signal);
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

async function cancelled(jobId, safety) {
  const begun = safety === "full" ? "" : " The data of a service that was begun cannot be put back, because it was not saved first.";
  const text = `The restore stops at its next step, and ${safety === "full" ? "everything that it has changed is" : "the cell's files are"} put back as before.${begun}`;
  if (!(await confirmed("Cancel the restore?", text, "Cancel the restore", { no: "Go on restoring" }))) return false;
  await post(`api/jobs/${encodeURIComponent(jobId)}/cancel`);
  return true;
}

function checklist(plan, wish) {
  const names = ["verify", "plan", "safety", ...plan.components.map((component) => component.name), "reload", "volumes", "regenerate", "finish"];
  const unwanted = [wish.safety === "none" ? "safety" : null, wish.regenerate === "off" ? "regenerate" : null];
  const lines = new Map(names.map((name) => [name, stageLine(name)]));
  const element = el("ol", { class: "checklist" }, [...lines.values()].map((line) => line.element));

  function show(job) {
    const steps = job.result?.steps || [];
    if (ENDED.has(job.state)) {
      for (const name of names) lines.get(name).set(stateOf(steps.find((step) => step.stage === name), job.result));
      return;
    }
    const now = names.indexOf(job.stage);
    if (now < 0) return;
    names.forEach((name, index) => {
      const state = index < now ? "done" : index === now ? "now" : "todo";
      lines.get(name).set({ state: unwanted.includes(name) ? "skipped" : state });
    });
  }
  return { element, show };
}

function stageLine(name) {
  const mark = el("span", { class: "hidden" }, `${SAID.todo}: `);
  const time = el("span", { class: "faint" });
  const element = el("li", { class: "todo" }, mark, el("span", {}, stageWord({ kind: "restore", state: "running", stage: name })), el("span", { class: "about" }, componentWord(name)), time);
  const set = ({ state, seconds }) => {
    element.className = state;
    mark.textContent = `${SAID[state]}: `;
    time.textContent = state === "undone" ? "put back" : state === "skipped" ? "left out" : seconds >= 1 ? duration(seconds) : "";
  };
  return { element, set };
}

function stateOf(step, result) {
  if (!step) return { state: "todo" };
  const outcomes = outcomesIn(step);
  if (step.state === "failed" || step.state === "running" || outcomes.includes("failed")) return { state: "failed" };
  if (step.state === "skipped" || (outcomes.length && outcomes.every((outcome) => outcome === "skipped"))) return { state: "skipped" };
  const isChange = !["verify", "plan", "safety"].includes(step.stage);
  return { state: isChange && result.rolled_back ? "undone" : "done", seconds: step.seconds };
}

/** Give the outcomes of a step's parts, where it has any: each generated file has one, whatever the step's own state is. */
const outcomesIn = (step) => Object.values(step).map((part) => part?.outcome).filter(Boolean);
