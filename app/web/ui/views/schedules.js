/** Schedules: what is done by itself, and when. */

import { call, get, post, remove } from "../api.js";
import { el, put, redraw, tell } from "../dom.js";
import { box, button, confirmed } from "../parts.js";
import { exactly } from "../format.js";
import { scheduleCard } from "../schedules/card.js";
import { addressOf, changeSchedule, fieldsOf, makeSchedule } from "../schedules/editing.js";

export default {
  title: "Schedules",

  async show({ main, session, signal }) {
    main.classList.add("admin");
    const mayChange = session.scope === "admin";
    const list = el("div", {});
    const heading = el("h1", { tabindex: -1 }, "Schedules");

    async function draw() {
      const [{ schedules }, { jobs }] = await Promise.all([get("api/schedules", { signal }), get("api/jobs?limit=200", { signal })]);
      const known = new Map(jobs.map((job) => [job.job_id, job]));
      redraw(list, schedules.length ? schedules.map((one) => scheduleCard(one, known, mayChange ? buttons(one, draw, heading) : [])) : nothing(mayChange));
    }

    const make = button("Make a schedule", async () => saved(await makeSchedule(), draw), { kind: "main", "aria-haspopup": "dialog" });
    await draw();
    put(main,
      el("div", { class: "title" }, heading, mayChange ? make : null),
      el("p", { class: "hint" }, "What the service does by itself. Each scheduled backup that succeeded is followed by the rules of ", el("a", { href: "#/retention" }, "retention"), "."),
      list);
  },
};

function nothing(mayChange) {
  return box("note",
    el("p", {}, "Nothing is done by itself yet: there is a backup only when somebody presses the button."),
    mayChange ? el("p", {}, "A good beginning: one backup every night.") : null);
}

function buttons(schedule, draw, heading) {
  const label = (doing) => ({ "aria-label": `${doing}: ${schedule.name}` });
  const opens = { "aria-haspopup": "dialog" };
  const turn = schedule.enabled ? "Turn off" : "Turn on";
  return [
    button("Run now", async () => {
      const { job_id: jobId } = await post(`${addressOf(schedule.name)}/run`);
      location.hash = `#/jobs/${jobId}`;
    }, label("Run now")),
    button("Change", async () => saved(await changeSchedule(schedule), draw), { ...label("Change"), ...opens }),
    button(turn, async () => {
      await call("PUT", addressOf(schedule.name), { body: { ...fieldsOf(schedule), enabled: !schedule.enabled } });
      await draw();
      tell(schedule.enabled ? `“${schedule.name}” does nothing until it is turned on again.` : `“${schedule.name}” is on again.`);
      refocus(heading);
    }, label(turn)),
    button("Remove", async () => {
      if (!(await confirmed("Remove this schedule?", removal(schedule), "Remove it"))) return;
      await remove(addressOf(schedule.name));
      await draw();
      tell(`“${schedule.name}” is removed.`);
      refocus(heading);
    }, { ...label("Remove"), ...opens }),
  ];
}

function removal({ name, source }) {
  const back = source === "settings" ? " It comes back when a worker starts, as long as CELL_BACKUP_SCHEDULE is set." : "";
  return `“${name}” is not done any more. Backups that it made stay, and a job that runs goes on.${back}`;
}

/** Give the focus a place where the button that had it is gone. */
function refocus(heading) {
  if (document.activeElement === document.body) heading.focus();
}

async function saved(schedule, draw) {
  if (!schedule) return;
  await draw();
  const [next] = schedule.next_runs;
  tell(next ? `“${schedule.name}” is saved. Next: ${exactly(next)}.` : `“${schedule.name}” is saved.`);
}
