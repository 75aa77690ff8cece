/** Shows what became of the messages about the last jobs. */

import { get, post } from "../api.js";
import { el, tell } from "../dom.js";
import { badge, box, button, mark, table, when } from "../parts.js";
import { jobWord } from "../words.js";

const JOBS = 20;
const STATES = { pending: ["on its way", "note"], delivered: ["delivered", "good"], given_up: ["given up", "bad"] };

/** Give the messages about the last jobs that ended, newest first: pairs of a job and a delivery. */
export async function lastDeliveries(signal) {
  const { jobs } = await get("api/jobs?limit=60", { signal });
  const ended = jobs.filter((job) => job.finished_at).slice(0, JOBS);
  const lists = await Promise.all(ended.map((job) => get(`${addressOf(job)}/webhooks`, { signal })));
  return ended.flatMap((job, index) => lists[index].webhooks.map((delivery) => ({ job, delivery })));
}

/** Say what one attempt came to. */
export function attemptWords({ status, error }) {
  return status === null ? error : `answered with ${status}`;
}

/** Make the table of deliveries; without `onSent` nothing can be sent again. */
export function deliveryTable(deliveries, onSent) {
  if (deliveries.length === 0) return box("note", el("p", {}, `Nobody was to be told of the last ${JOBS} jobs.`));
  const columns = ["Job", "Receiver", "Message", "Attempts", ...(onSent ? ["Again"] : [])];
  return table("Messages about the last jobs", columns, deliveries.map(({ job, delivery }) => [
    aboutJob(job),
    [el("span", { class: "mono" }, delivery.origin), el("div", { class: "hint" }, delivery.target === "default" ? "told of all jobs" : "named by the request")],
    stateOf(delivery),
    attempts(delivery.attempts),
    ...(onSent ? [again(job, delivery, onSent)] : []),
  ]));
}

function aboutJob(job) {
  return [el("a", { href: `#/jobs/${encodeURIComponent(job.job_id)}` }, jobWord(job)), " ", badge(job.state), el("div", { class: "hint" }, when(job.finished_at))];
}

function stateOf({ state, next_at: next }) {
  const [word, kind] = STATES[state] || [state, "faint"];
  return [mark(kind, word), next && state === "pending" ? el("div", { class: "hint" }, "next attempt ", when(next)) : null];
}

function attempts(made) {
  if (made.length === 0) return "none yet";
  const last = made[made.length - 1];
  const lines = made.map((attempt) => el("li", {}, when(attempt.at), `: ${attemptWords(attempt)}`, attempt.answer ? el("div", { class: "mono" }, attempt.answer) : null));
  return el("details", {}, el("summary", {}, made.length === 1 ? attemptWords(last) : `${made.length} attempts; the last ${attemptWords(last)}`), el("ol", { class: "times" }, lines));
}

function again(job, delivery, onSent) {
  return button("Send again", async () => {
    await post(`${addressOf(job)}/webhooks/${encodeURIComponent(delivery.delivery_id)}/redeliver`);
    tell(`The message is sent again to ${delivery.origin}.`);
    await onSent();
  }, { "aria-label": `Send again: ${jobWord(job)} ${job.job_id} to ${delivery.origin}` });
}

const addressOf = (job) => `api/jobs/${encodeURIComponent(job.job_id)}`;
