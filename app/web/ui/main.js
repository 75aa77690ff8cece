/** The page's beginning: who is there, the bar with the ways to go, and the view that the address names. */

import { get, Problem, remove, useSession, whenLoggedOut, whenRenewed } from "./api.js";
import { el, put } from "./dom.js";
import { button, keepTime, mark, problemBox } from "./parts.js";
import { routing } from "./router.js";
import access from "./views/access.js";
import archive from "./views/archive.js";
import archives from "./views/archives.js";
import job from "./views/job.js";
import jobs from "./views/jobs.js";
import login from "./views/login.js";
import overview from "./views/overview.js";
import restore from "./views/restore.js";
import retention from "./views/retention.js";
import schedules from "./views/schedules.js";
import upload from "./views/upload.js";
import webhooks from "./views/webhooks.js";

const ROUTES = [
  ["#/", overview],
  ["#/backups", archives],
  ["#/backups/:", archive],
  ["#/backups/:/restore", restore],
  ["#/upload", upload],
  ["#/jobs", jobs],
  ["#/jobs/:", job],
  ["#/schedules", schedules],
  ["#/retention", retention],
  ["#/webhooks", webhooks],
  ["#/access", access],
];
const WAYS = [
  ["#/", "Overview"],
  ["#/backups", "Backups"],
  ["#/jobs", "Jobs"],
  ["#/schedules", "Schedules"],
  ["#/retention", "Retention"],
  ["#/webhooks", "Webhooks"],
  ["#/access", "Access"],
];

const top = document.getElementById("top");
const main = document.getElementById("main");
const who = el("span", { class: "who" });
let session = null;

const show = routing(ROUTES, main, { session: () => session, onShown: markWay });

function enter(known, { focus = true } = {}) {
  session = known;
  useSession(known);
  drawTop();
  show({ focus });
}

function leave() {
  if (session === null) return;
  session = null;
  askWho("You have been logged out, because the session ended or its token was taken away.");
}

/** Go on with the session that took this one's place; the view that is shown stays. */
function goOn(renewed) {
  if (session === null) return;
  session = renewed;
  drawWho();
}

function askWho(message) {
  show.leave();
  put(top, brand());
  document.title = "Log in · cell-backup";
  login.show({ main, enter, message });
}

function drawTop() {
  drawWho();
  const out = button("Log out", async () => {
    await remove("api/session");
    session = null;
    askWho("You are logged out.");
  }, { kind: "quiet" });
  const ways = WAYS.map(([address, label]) => el("li", {}, el("a", { href: address }, label)));
  put(top, brand(), el("nav", { "aria-label": "Pages" }, el("ul", {}, ways)), el("div", { class: "session" }, who, out));
}

function drawWho() {
  put(who, el("span", { class: "name" }, session.name), session.scope === "read" ? mark("note", "may only look") : null);
}

function brand() {
  return el("a", { class: "brand", href: "#/" }, el("img", { src: "ui/icon.svg", alt: "", width: 28, height: 28 }), "cell-backup");
}

function markWay(shown) {
  const address = shown === "#/upload" ? "#/backups" : shown;
  for (const link of top.querySelectorAll("nav a")) {
    const target = link.getAttribute("href");
    const isHere = target === "#/" ? address === target : address === target || address.startsWith(`${target}/`);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function skipToContent(event) {
  event.preventDefault();
  main.focus();
}

async function begin() {
  whenLoggedOut(leave);
  whenRenewed(goOn);
  addEventListener("hashchange", () => session && show());
  document.querySelector(".skip").addEventListener("click", skipToContent);
  setInterval(keepTime, 15_000);
  try {
    enter(await get("api/session"), { focus: false });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) askWho("");
    else put(main, el("h1", {}, "cell-backup"), problemBox(error), button("Try again", () => location.reload()));
  }
}

begin();
