/** Brings a cell back in three steps: pick what, see the plan, confirm. Nothing changes before the third. */

import { addressOf, pageOf } from "../actions.js";
import { get, post } from "../api.js";
import { el, put } from "../dom.js";
import { bytes } from "../format.js";
import { badge, box, when } from "../parts.js";
import { choosing, heldBy, heldIn, newWish } from "../restoring/choice.js";
import { confirming } from "../restoring/confirming.js";
import { planning } from "../restoring/planning.js";

const STEPS = ["Pick what comes back", "See what would happen", "Confirm and restore"];

export default {
  title: "Restore",

  async show({ main, parameters: [backupId], session, signal }) {
    const address = pageOf(backupId);
    if (session.scope !== "admin") {
      put(main, el("h1", {}, "Restore"), box("note", el("p", {}, "Your token may only read, so it cannot restore anything.")), el("a", { href: address }, "Back to the backup"));
      return;
    }
    const backup = await get(addressOf(backupId), { signal });
    const way = stepList();
    const room = el("section", { class: "step" });
    put(main, heading(backup, address), way.element, room);
    walk({ backup, address, way, room, signal });
  },
};

function walk({ backup, address, way, room, signal }) {
  const wish = newWish();
  let held = heldBy(backup.parts);
  let stopPlanning = () => {};
  signal.addEventListener("abort", () => {
    wish.passphrase = "";
    stopPlanning();
  });

  function enter(step, ...children) {
    put(room, el("h2", { tabindex: -1 }), children);
    entitle(step, `${step + 1}. ${STEPS[step]}`);
  }

  function entitle(step, text) {
    way.mark(step);
    room.firstChild.textContent = text;
    room.firstChild.focus();
    window.scrollTo(0, 0);
  }

  const ask = (isDry) => post(`api/config/restore/${encodeURIComponent(backup.backup_id)}`, wish.request({ isDry }), { signal });

  function choose() {
    stopPlanning();
    enter(0, choosing({ backup, wish, held, away: address, onDone: async () => plan(await ask(true)) }));
  }

  function plan({ job_id: jobId }) {
    const made = planning({ jobId, wish, onBack: choose, onAgreed: (found) => confirm(found, show), onPlan: (found) => { held = held || heldIn(found); }, signal });
    const show = () => enter(1, made.element);
    stopPlanning = made.stop;
    show();
  }

  function confirm(plan, onBack) {
    enter(2, confirming({ backup, plan, wish, start: () => ask(false), onBack, entitle, signal }));
  }

  choose();
}

function heading(backup, address) {
  const facts = [
    el("a", { href: address, class: "mono" }, backup.backup_id),
    backup.label ? el("span", {}, backup.label) : null,
    el("span", {}, "made ", when(backup.created_at)),
    el("span", {}, bytes(backup.size)),
    backup.encrypted ? el("span", {}, "encrypted") : null,
    backup.outcome === "partial" ? badge("partial") : null,
  ];
  return el("div", {}, el("h1", {}, "Restore"), el("p", { class: "origin" }, facts));
}

function stepList() {
  const items = STEPS.map((label) => el("li", {}, label));
  const element = el("ol", { class: "way", "aria-label": "Steps" }, items);
  const mark = (now) => items.forEach((item, index) => {
    item.className = index < now ? "done" : "";
    if (index === now) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  return { element, mark };
}
