/** Takes in an archive that was made elsewhere. */

import { addressOf, pageOf, verify } from "../actions.js";
import { get, Problem } from "../api.js";
import { el, put, svg } from "../dom.js";
import { dropping } from "../dropping.js";
import { bytes, duration, rate } from "../format.js";
import { box, button, field, form, problemBox } from "../parts.js";
import { send } from "../sending.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const ENDING = /(\.tar\.gz\.age|\.tar\.gz|\.tgz)$/i;
const RULE = "Letters, digits, dots, hyphens and underscores, 128 at most; the first one a letter or digit.";

export default {
  title: "Upload",

  async show({ main, session, signal }) {
    main.classList.add("upload");
    put(main, el("h1", {}, "Upload a backup"));
    if (session.scope !== "admin") {
      main.append(box("note", el("p", {}, "Your token may only read, so it cannot upload anything.")));
      return;
    }
    const room = el("div", {});
    main.append(el("p", {}, "A backup that was downloaded from here or from another machine, or one that the cell's own ", el("code", {}, "make backup"), " wrote. Nothing in the cell changes by it."), room);
    pick(room, signal);
  },
};

function pick(room, signal) {
  const input = el("input", { type: "file", class: "hidden", tabindex: -1, "aria-hidden": "true" });
  input.addEventListener("change", () => input.files.length && chosen([...input.files]));
  const choose = button("Choose a file", () => input.click(), { kind: "main" });
  const zone = el("div", { class: "drop" }, arrow(), el("p", {}, el("strong", {}, "Drop a backup here")), el("p", { class: "hint" }, "a file that ends in .tar.gz or .tar.gz.age"), choose, input);
  const leaving = new AbortController();
  const answer = el("div", {});
  signal.addEventListener("abort", () => leaving.abort());
  dropping(zone, chosen, leaving.signal);
  put(room, answer, zone);

  function chosen(files) {
    if (files.length > 1) {
      put(answer, problemBox({ message: "These are several files.", hint: "Drop one backup at a time." }));
      return;
    }
    leaving.abort();
    name(room, files[0], signal);
  }
}

function name(room, file, signal, problem = null, wanted = null) {
  const own = file.name.replace(ENDING, "");
  const fit = wanted ?? fitting(own);
  const input = el("input", { required: true, maxlength: 128, autocomplete: "off", spellcheck: "false", class: "mono" });
  input.value = fit;
  const help = fit === own || wanted !== null ? RULE : `${RULE} The file's own name was changed to fit.`;
  const fields = [
    el("p", { class: "lead" }, el("strong", {}, file.name), `, ${bytes(file.size)}`),
    ENDING.test(file.name) ? null : box("warn", el("p", {}, "The name of this file does not end as a backup's does. If it is none, it will not be taken.")),
    field("Name of the backup", input, help),
    problem,
  ];
  const begin = () => {
    const id = input.value.trim();
    if (ID.test(id)) return sendIt(room, file, id, signal);
    input.focus();
    throw new Problem(0, { detail: "A backup cannot have this name.", hint: RULE });
  };
  put(room, el("div", { class: "card" }, form(fields, "Upload", begin, { cancel: () => pick(room, signal) })));
  input.focus();
}

/** Make a name that a backup can have out of a file's. */
const fitting = (own) => own.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+|-+$/g, "").slice(0, 128) || "backup";

async function sendIt(room, file, id, signal) {
  const stopping = new AbortController();
  signal.addEventListener("abort", () => stopping.abort());
  const shown = sendingCard(file, () => stopping.abort());
  put(room, shown.element);
  const again = (problem) => name(room, file, signal, problem, id);
  try {
    const refused = await whyNot(file, id, stopping.signal);
    if (refused) {
      again(refused);
      return;
    }
    const backup = await send(addressOf(id), file, { onProgress: shown.show, signal: stopping.signal });
    done(room, backup, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error.name === "AbortError") again(box("note", el("p", {}, "The upload was stopped; nothing of it was kept.")));
    else if ("status" in error) again(problemBox(error));
    else if (error instanceof DOMException) again(problemBox({ message: "This cannot be read as a file.", hint: "If it is a folder, choose the archive in it." }));
    else throw error;
  }
}

/** Say what can be known before anything is sent: a browser sends all of a file before it listens to a refusal. */
async function whyNot(file, id, signal) {
  const { backups } = await get("api/config/backups?limit=1000", { signal });
  if (backups.some((backup) => backup.backup_id === id)) return problemBox({ message: `There is a backup '${id}' already.`, hint: "Give this one another name, or delete the one that is there first." });
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isArchive = (start[0] === 0x1f && start[1] === 0x8b) || start[0] === 0x7b;
  return isArchive ? null : problemBox({ message: "The file begins neither like a gzip file nor like an encrypted one.", hint: "Check that this is the right file." });
}

function sendingCard(file, onCancel) {
  const filled = el("span", {});
  const bar = el("div", { class: "bar", role: "progressbar", "aria-label": "Progress of the upload", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, filled);
  const percent = el("span", { class: "percent" }, "0 %");
  const numbers = el("p", { class: "numbers" });
  const stage = el("strong", { role: "status" }, `Sending ${file.name}`);
  const element = el("div", { class: "card sending" }, el("div", { class: "stage" }, stage, percent), bar, numbers,
    el("div", { class: "buttons" }, el("span", { class: "hint" }, "Stay on this page until it has arrived."), button("Cancel", onCancel)));

  function show({ sent, total, rate: speed, left }) {
    const part = total ? Math.min(100, (100 * sent) / total) : 100;
    const isSent = sent >= total;
    filled.style.width = `${part}%`;
    percent.textContent = `${Math.floor(part)} %`;
    bar.setAttribute("aria-valuenow", Math.floor(part));
    const told = [`${bytes(Math.min(sent, total))} of ${bytes(total)}`, speed ? rate(speed) : null, left && !isSent ? `${duration(left)} left` : null];
    put(numbers, told.filter(Boolean).map((text) => el("span", {}, text)));
    if (isSent) stage.textContent = "Writing the last of it to the disk";
  }
  return { element, show };
}

function done(room, backup, signal) {
  const heading = el("h2", { tabindex: -1 }, "The backup has arrived");
  put(room, el("div", { class: "card" }, heading,
    el("p", {}, el("a", { href: pageOf(backup.backup_id), class: "mono" }, backup.backup_id), `, ${bytes(backup.size)}${backup.encrypted ? ", encrypted" : ""}`),
    el("p", {}, "Whether all of it is in order is not known yet. To verify it reads it to the last byte."),
    el("div", { class: "buttons" },
      button("Upload another", () => pick(room, signal)),
      el("a", { class: "button", href: pageOf(backup.backup_id) }, "Look at it"),
      button("Verify it", () => verify(backup), { kind: "main" }))));
  heading.focus();
}

function arrow() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: "M12 16V4m0 0L7 9m5-5 5 5M4 17v3h16v-3", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round" }));
}
