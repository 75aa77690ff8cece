/** At a glance: the last good backup, what failed, what runs, what comes next, and whether all is well. */

import { isGood } from "../actions.js";
import { get } from "../api.js";
import { el, put, redraw } from "../dom.js";
import { box } from "../parts.js";
import { repeat } from "../waiting.js";
import { attention, lastFailures } from "../glance/attention.js";
import { drawHealth } from "../glance/health.js";
import { drawNext } from "../glance/next.js";
import { runningJobs } from "../glance/running.js";
import { standing } from "../glance/standing.js";
import { backupButton } from "./backup.js";

const BUSY_SECONDS = 5;
const QUIET_SECONDS = 30;

export default {
  title: "Overview",

  /** Show everything, and keep it up to date. */
  async show({ main, session, signal }) {
    const mayChange = session.scope === "admin";
    const room = Object.fromEntries(["trouble", "standing", "attention", "next", "health"].map((name) => [name, el("div", {})]));
    const running = runningJobs({ signal, onEnd: () => look() });
    let seen = "";

    async function look() {
      const [backups, { jobs }] = await Promise.all([newestBackups(signal), get("api/jobs?limit=50", { signal })]);
      running.show(jobs);
      const failures = lastFailures(jobs, backups);
      const now = JSON.stringify([backups, failures]);
      if (now !== seen) {
        redraw(room.standing, standing(backups, failures, mayChange));
        redraw(room.attention, attention(failures, backups));
        seen = now;
      }
      return running.isBusy() ? BUSY_SECONDS : QUIET_SECONDS;
    }

    const seconds = await look();
    put(main,
      el("div", { class: "title" }, el("h1", {}, "Overview"), mayChange ? backupButton() : null),
      mayChange ? null : box("note", el("p", {}, "You are logged in with a token that may only look, so there are no buttons that change something.")),
      room.trouble, running.element, room.standing, room.attention,
      el("div", { class: "cards" }, room.next, room.health));
    repeat(look, { seconds, signal, trouble: room.trouble });
    const lookAround = async () => {
      await Promise.all([drawNext(room.next, { signal, mayChange }), drawHealth(room.health, { signal })]);
      return QUIET_SECONDS;
    };
    repeat(lookAround, { seconds: 0, signal, trouble: el("div", {}) }); // each of them says its own trouble
  },
};

/** Give the newest backups, and more of them where no good one is among the newest. */
async function newestBackups(signal) {
  const { backups, total } = await get("api/config/backups?limit=50", { signal });
  if (backups.some(isGood) || total === backups.length) return backups;
  return (await get("api/config/backups?limit=1000", { signal })).backups;
}
