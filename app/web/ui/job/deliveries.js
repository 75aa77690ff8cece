/** Who was told of a job's end, and what came of it. */

import { get, post } from "../api.js";
import { el, put, redraw } from "../dom.js";
import { button, mark, table, when } from "../parts.js";
import { repeat } from "../waiting.js";

const STATES = { pending: ["note", "on its way"], delivered: ["good", "delivered"], given_up: ["bad", "given up"] };
const SOON = 3;
const LATER = 30;
const LOOKS_FOR_THE_FIRST = 5; // the messages are made in the seconds after a job has ended

/** Show the messages about a job's end in `room` as long as something can come of them. */
export async function deliveries(room, { job, mayChange, signal }) {
  const address = `api/jobs/${encodeURIComponent(job.job_id)}/webhooks`;
  const trouble = el("div", {});
  const list = el("div", {});
  let looks = 0;

  async function look() {
    const { webhooks } = await get(address, { signal });
    looks += 1;
    draw(webhooks);
    if (webhooks.some((message) => message.state === "pending")) return SOON;
    return webhooks.length === 0 && looks < LOOKS_FOR_THE_FIRST ? SOON : LATER;
  }

  function draw(webhooks) {
    const isNew = JSON.stringify(webhooks) !== list.dataset.seen;
    list.dataset.seen = JSON.stringify(webhooks);
    if (isNew) redraw(list, webhooks.length ? section(webhooks, mayChange ? again : null) : null);
  }

  async function again(message) {
    await post(`${address}/${encodeURIComponent(message.delivery_id)}/redeliver`);
    await look();
  }

  put(room, trouble, list);
  const seconds = await look();
  repeat(look, { seconds, signal, trouble });
}

function section(webhooks, again) {
  const columns = ["Receiver", "State", "Attempts", "Last answer", ...(again ? ["Action"] : [])];
  return el("section", { class: "card" },
    el("h2", {}, "Who was told (webhooks)"),
    table("Messages about the end of this job", columns, webhooks.map((message) => row(message, again))));
}

function row(message, again) {
  const last = message.attempts.at(-1);
  const [kind, word] = STATES[message.state] || ["faint", message.state];
  const cells = [
    [message.origin, message.target === "default" ? el("div", { class: "hint" }, "told of every job") : null],
    [mark(kind, word), message.next_at ? el("div", { class: "hint" }, "next attempt ", when(message.next_at)) : null],
    String(message.attempts.length),
    last ? [last.error || `status ${last.status}`, " ", when(last.at)] : "none yet",
  ];
  const send = again && button("Send again", () => again(message), { kind: "small", "aria-label": `Send again to ${message.origin}` });
  return again ? [...cells, send] : cells;
}
