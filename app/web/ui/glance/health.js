/** Whether everything that backups need is there, and how much room is left. */

import { get } from "../api.js";
import { el, redraw } from "../dom.js";
import { bytes } from "../format.js";
import { mark, problemBox } from "../parts.js";

const NAMES = {
  redis: "Redis (keeps the jobs)",
  worker: "Worker (does the jobs)",
  cell_root: "The cell's folder",
  backup_dir: "The folder of the backups",
  engine: "Docker (gives the data of the services)",
};

/** Draw what is there and what is missing. */
export async function drawHealth(room, { signal }) {
  try {
    const { checks } = await readiness(signal); // says it where the service is away
    const space = await freeSpace(signal);
    redraw(room, el("section", { class: "card" }, el("h2", {}, "Health"), el("ul", { class: "list checks" }, checks.map(line)), space));
  } catch (error) {
    if (error.name === "AbortError") return;
    redraw(room, el("section", { class: "card" }, el("h2", {}, "Health"), problemBox(error)));
    if (!("status" in error)) throw error;
  }
}

async function readiness(signal) {
  try {
    return await get("ready", { signal });
  } catch (error) {
    if (error.more && error.more.checks) return error.more; // not ready: the answer says what is missing
    throw error;
  }
}

function line({ name, ok, required, detail }) {
  const state = ok ? mark("good", "ok") : mark(required ? "bad" : "warn", required ? "missing" : "not there");
  return el("li", {}, state, el("span", {}, NAMES[name] || name, ok ? null : el("span", { class: "hint" }, detail)));
}

/** Say how much room the disk of the backups has; nothing where the service does not tell. */
async function freeSpace(signal) {
  const text = await metrics(signal);
  const [free, size] = ["free", "size"].map((name) => text.match(new RegExp(`^cell_backup_directory_${name}_bytes (\\S+)$`, "m")));
  if (!free || !size) return null;
  const share = Math.round((Number(free[1]) / Number(size[1])) * 100);
  return el("p", {}, `${bytes(Number(free[1]))} of ${bytes(Number(size[1]))} are free where the backups go (${share} %).`);
}

/** Give the metrics as text; empty where they are off, or the service has just gone. */
async function metrics(signal) {
  try {
    const answer = await fetch("metrics", { signal, credentials: "same-origin" });
    return answer.ok ? await answer.text() : "";
  } catch (error) {
    if (error instanceof TypeError) return ""; // what a browser throws where nobody answers
    throw error;
  }
}
