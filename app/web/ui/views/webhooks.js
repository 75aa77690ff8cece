/** Webhooks: who is told of the end of jobs, and what became of the messages. */

import { get } from "../api.js";
import { el, put, redraw } from "../dom.js";
import { box, button, when } from "../parts.js";
import { deliveryTable, lastDeliveries } from "../webhooks/deliveries.js";
import { trialForm } from "../webhooks/trial.js";

const SETTINGS = `CELL_BACKUP_WEBHOOK_URL=https://hooks.example/backups
CELL_BACKUP_WEBHOOK_SECRET=…`;
const CHECK = `from standardwebhooks import Webhook

job = Webhook(secret).verify(body, headers)  # raises where it was not sent by this service`;
const CAME_TO = {
  delivered: ["good", " It was taken."],
  given_up: ["bad", " It was not taken: whoever is there hears nothing. The table says why."],
};

export default {
  title: "Webhooks",

  async show({ main, session, signal }) {
    main.classList.add("admin");
    const mayChange = session.scope === "admin";
    const room = { who: el("div", {}), last: el("div", {}) };
    const { origin } = await get("api/webhooks", { signal });

    async function draw() {
      const deliveries = await lastDeliveries(signal);
      put(room.who, lastTold(origin, deliveries));
      redraw(room.last, deliveryTable(deliveries, mayChange ? draw : null));
    }

    await draw();
    put(main,
      el("h1", {}, "Webhooks"),
      el("p", { class: "hint" }, "A webhook is a message to another program: when a job ends, however it ends, all about it is sent to an address."),
      el("div", { class: "cards" }, whoIsTold(room.who), mayChange ? trial() : null),
      el("section", { class: "card" },
        el("div", { class: "title" }, el("h2", {}, "What became of the last messages"), button("Look again", draw)),
        el("p", { class: "hint" }, "What is not taken is sent again for about a day, each time with the same webhook-id."),
        room.last),
      checking());
  },
};

function whoIsTold(room) {
  return el("section", { class: "card" },
    el("h2", {}, "Who is told"),
    el("p", {}, "One receiver can be told of all jobs, and whoever asks for a job may name one for it alone."),
    room,
    el("h3", {}, "How to set the one for all jobs"),
    el("p", {}, "In the settings of the service, its environment or its file .env; then start it again:"),
    code(SETTINGS),
    el("p", { class: "hint" }, "It is not set here because an address often has a secret in it. For the same reason only scheme, host and port of one are ever shown."));
}

function lastTold(origin, deliveries) {
  if (origin === null) return box("note", el("p", {}, "No receiver for all jobs is set."));
  const last = deliveries.find(({ delivery }) => delivery.target === "default");
  const since = last ? [", the last one ", when(last.delivery.created_at)] : null;
  const [kind, ...said] = CAME_TO[last?.delivery.state] || ["note"];
  return box(kind, el("p", {}, "All jobs are told to ", el("span", { class: "mono" }, origin), since, ".", said));
}

function trial() {
  return el("section", { class: "card" },
    el("h2", {}, "Try a receiver"),
    el("p", {}, "Sends one small signed message now. Address and secret are used for that and kept nowhere."),
    trialForm());
}

function checking() {
  return el("section", { class: "card" },
    el("h2", {}, "How a receiver checks that a message is genuine"),
    el("p", {}, "Messages are signed after ", el("a", { href: "https://www.standardwebhooks.com", rel: "noreferrer" }, "Standard Webhooks"), "; there are libraries for most languages. In Python:"),
    code(CHECK),
    el("p", { class: "hint" }, "A message that comes twice has the same ", el("code", {}, "webhook-id"), ". What is in one is described at ", el("a", { href: "docs" }, "the interface's documentation"), "."));
}

function code(text) {
  return el("pre", { class: "code" }, el("code", {}, text));
}
