/** Retention: how many backups are kept, tried before it acts. */

import { call, get, post, remove } from "../api.js";
import { el, put, tell } from "../dom.js";
import { box, button, confirmed, form } from "../parts.js";
import { applyPolicy } from "../retention/applying.js";
import { previewOf } from "../retention/preview.js";
import { ruleFields } from "../retention/rules.js";
import { policyLines } from "../retention/words.js";

const ALWAYS = "Whatever the rules say, these stay: the last backup that was verified, the only one, those that a job works with, and damaged ones.";

export default {
  title: "Retention",

  async show({ main, session, signal }) {
    main.classList.add("admin");
    const kept = await get("api/retention", { signal });
    if (session.scope !== "admin") {
      put(main, el("h1", {}, "Retention"), intro(), el("section", { class: "card" }, el("h2", {}, "The rules that hold"), rulesIn(kept), origin(kept)));
      return;
    }
    const preview = await post("api/retention/preview", undefined, { signal });
    const room = { rules: el("div", {}), preview: el("section", { class: "card" }) };
    put(main, el("h1", {}, "Retention"), intro(), room.rules, room.preview);
    showRules(room, kept);
    showSaved(room, kept, preview);
  },
};

function intro() {
  return el("p", { class: "hint" }, "Which backups stay and which go. The rules act after each scheduled backup that succeeded, and when somebody says so here. ", ALWAYS);
}

function rulesIn({ active, policy }) {
  if (!active) return el("p", {}, "No rule is set: every backup stays until somebody deletes it.");
  return [el("p", {}, "Kept is:"), el("ul", {}, policyLines(policy).map((line) => el("li", {}, line)))];
}

function origin({ source }) {
  if (source === "request") return null;
  return el("p", { class: "hint" }, "These come from the service's settings ", el("code", {}, "CELL_BACKUP_KEEP_…"), ". What is saved here takes their place.");
}

function showRules(room, kept) {
  const rules = ruleFields(kept.policy);
  const wanted = form(
    [rules.element],
    "Show what these rules would do",
    async () => showTried(room, await post("api/retention/preview", rules.value())));
  wanted.addEventListener("input", () => showStale(room));
  const back = button("Back to the service's settings", () => reset(room), { kind: "quiet", "aria-haspopup": "dialog" });
  put(room.rules, el("section", { class: "card" },
    el("div", { class: "title" }, el("h2", {}, "How many are kept"), kept.source === "request" ? back : null),
    el("p", {}, "Each rule keeps so many; a backup stays if any rule keeps it. An empty field is no rule. ", kept.active ? null : el("strong", {}, "No rule is set now, so nothing is removed.")),
    origin(kept),
    wanted));
}

function showStale(room) {
  if (room.preview.querySelector(".stale")) return;
  put(room.preview, el("h2", {}, "What would become of each backup"), box("note", el("p", { class: "stale", role: "status" }, "The rules above have changed and are not saved. Press “Show what these rules would do” to see what they mean.")));
}

function showTried(room, preview) {
  put(room.preview,
    el("h2", { tabindex: -1 }, "What these rules would do"),
    previewOf(preview),
    el("p", { class: "hint" }, "Saving the rules removes nothing yet."),
    el("div", { class: "buttons" }, button("Forget these changes", () => reload(room)), button("Save these rules", () => save(room, preview.policy), { kind: "main" })));
  room.preview.querySelector("h2").focus();
}

function showSaved(room, kept, preview) {
  const apply = button(`Remove ${preview.removed} now`, async () => {
    const job = await applyPolicy(preview);
    if (job) location.hash = `#/jobs/${job.job_id}`;
  }, { kind: "bad", "aria-haspopup": "dialog" });
  put(room.preview,
    el("h2", { tabindex: -1 }, "What the rules make of the backups now"),
    kept.active ? previewOf(preview) : box("note", el("p", {}, "No rule is set: every backup stays until somebody deletes it. The disk will be full one day.")),
    preview.removed ? el("div", { class: "buttons" }, apply) : null);
}

async function save(room, policy) {
  await call("PUT", "api/retention", { body: policy });
  await reload(room);
  tell("The rules are saved. They act after the next scheduled backup that succeeds, or when you say so here.");
}

async function reset(room) {
  if (!(await confirmed("Back to the service's settings?", "The rules that were saved here are forgotten, and those of the settings CELL_BACKUP_KEEP_… hold again. Nothing is removed by this.", "Forget the saved rules"))) return;
  await remove("api/retention");
  await reload(room);
  tell("The rules of the service's settings hold again.");
}

async function reload(room) {
  const kept = await get("api/retention");
  const preview = await post("api/retention/preview");
  showRules(room, kept);
  showSaved(room, kept, preview);
  room.preview.querySelector("h2").focus();
}
