/** The backups that exist. */

import { get } from "../api.js";
import { nameOf, pageOf } from "../actions.js";
import { badgesOf } from "../badges.js";
import { sizeChart } from "../chart.js";
import { el, put, redraw } from "../dom.js";
import { uploadOnDrag } from "../dropping.js";
import { ENDED } from "../following.js";
import { bytes, count, exactly } from "../format.js";
import { button, field, select, table, when } from "../parts.js";
import { repeat } from "../waiting.js";
import { backupButton } from "./backup.js";

const MOST = 1000;
const STEP = 50;
const BUSY_SECONDS = 5;
const QUIET_SECONDS = 30;
const byTime = (one, other) => new Date(other.created_at) - new Date(one.created_at);
const ORDERS = {
  newest: ["Newest first", byTime],
  oldest: ["Oldest first", (one, other) => -byTime(one, other)],
  largest: ["Largest first", (one, other) => other.size - one.size],
  smallest: ["Smallest first", (one, other) => one.size - other.size],
  name: ["By name", (one, other) => nameOf(one).localeCompare(nameOf(other))],
};

export default {
  title: "Backups",

  /** List the backups, with search, order and a chart, and keep the list up to date. */
  async show({ main, session, signal }) {
    const mayChange = session.scope === "admin";
    const search = el("input", { type: "search", autocomplete: "off", placeholder: "label, id or date", on: { input: () => draw() } });
    const order = select(Object.entries(ORDERS).map(([value, [word]]) => [value, word]), "newest", { change: () => draw() });
    const room = Object.fromEntries(["trouble", "chart", "list"].map((name) => [name, el("div", {})]));
    const found = el("p", { class: "hint", role: "status" });
    let known = { backups: [], total: 0 };
    let shown = STEP;
    let seen = null;

    async function look() {
      const { jobs } = await get("api/jobs?limit=20", { signal });
      const now = jobs.map((job) => job.job_id + job.state).join();
      if (now !== seen) await load();
      seen = now;
      return jobs.every((job) => ENDED.has(job.state)) ? QUIET_SECONDS : BUSY_SECONDS;
    }

    async function load() {
      known = await get(`api/config/backups?limit=${MOST}`, { signal });
      draw();
      put(room.chart, chart(known.backups));
    }

    function draw() {
      const hits = known.backups.filter(matching(search.value)).sort(ORDERS[order.value][1]);
      put(found, search.value.trim() ? `${count(hits.length, "backup")} found${among(known)}` : summary(known));
      const more = hits.length > shown ? button(`Show ${count(hits.length - shown, "more", "more")}`, () => {
        shown += STEP;
        draw();
      }) : null;
      redraw(room.list, hits.length ? listed(hits.slice(0, shown)) : empty(known.backups.length, mayChange), more);
    }

    const seconds = await look();
    put(main,
      el("div", { class: "title" }, el("h1", {}, "Backups"), mayChange ? ways() : null),
      room.trouble, room.chart,
      el("section", { class: "card", "aria-label": "List of backups" },
        el("div", { class: "filters" }, field("Search", search), field("Order", order)), found, room.list));
    if (mayChange) uploadOnDrag(signal);
    repeat(look, { seconds, signal, trouble: room.trouble });
  },
};

function ways() {
  return el("div", { class: "buttons" }, el("a", { class: "button", href: "#/upload" }, "Upload a backup"), backupButton());
}

function matching(text) {
  const words = text.trim().toLowerCase().split(/\s+/);
  return (backup) => {
    const told = [backup.label || "", backup.backup_id, backup.created_at, exactly(backup.created_at)].join(" ").toLowerCase();
    return words.every((word) => told.includes(word));
  };
}

function chart(backups) {
  const drawn = sizeChart(backups.filter((backup) => !backup.expires_at));
  return drawn ? el("section", { class: "card", "aria-label": "Sizes" }, drawn) : null;
}

/** Say where the search did not reach: not all are loaded. */
const among = ({ backups, total }) => (total > backups.length ? ` among the newest ${backups.length} of ${total}` : "");

function summary({ backups, total }) {
  if (total === 0) return "";
  const size = bytes(backups.reduce((sum, backup) => sum + backup.size, 0));
  return total > backups.length ? `The newest ${backups.length} of ${count(total, "backup")}, ${size}` : `${count(total, "backup")}, ${size} in all`;
}

function empty(isSearch, mayChange) {
  if (isSearch) return el("p", {}, "No backup is like that.");
  return el("p", {}, "There is no backup yet.", mayChange ? " Make the first one with the button above, or upload one that you have." : "");
}

function listed(backups) {
  return table("Backups", ["Backup", "Made", { name: "Size", number: true }, "State"], backups.map((backup) => [
    [el("a", { href: pageOf(backup.backup_id) }, nameOf(backup)), el("div", { class: "hint mono" }, backup.backup_id)],
    when(backup.created_at),
    bytes(backup.size),
    badgesOf(backup),
  ]));
}
