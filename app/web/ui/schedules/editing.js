/** The dialogue that makes or changes a schedule. */

import { call, get, post } from "../api.js";
import { el } from "../dom.js";
import { further } from "../further.js";
import { dialogue, field, form, select } from "../parts.js";
import { partChoice } from "./parts.js";
import { ownZone, whenFields } from "./when.js";

const KINDS = [["backup", "Back up the cell"], ["verify", "Verify the newest backup"]];
const OVERLAPS = [["skip", "Leave this time out"], ["queue", "Wait until it has ended"]];
const FILE_HELP = "A file on the machine that the service runs on, such as /etc/cell-backup/passphrase, with the passphrase as its first line, and outside the cell's folder. It must belong to the user of the service, and be readable for nobody else (chmod 600). It is a file because nobody is there at night to type a passphrase, and because this service keeps none.";
const NAME_HELP = "Small letters, digits, dots and dashes, such as nightly.";
const NEW = {
  cron: "30 2 * * *", kind: "backup", jitter: 0, catch_up: true, overlap: "skip",
  components: null, services: null, label: null, passphrase_file: null, enabled: true,
};

/** Make the fields of a schedule that the service takes, out of what it shows. */
export const fieldsOf = (schedule) => Object.fromEntries([...Object.keys(NEW), "timezone"].map((name) => [name, schedule[name]]));

/** Ask for a new schedule and make it; gives it as the service keeps it, undefined where the person went away. */
export async function makeSchedule() {
  const name = el("input", { type: "text", required: true, maxlength: 64, pattern: "[a-z0-9][a-z0-9._\\-]*", title: NAME_HELP, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const save = (fields) => post("api/schedules", { name: name.value, ...fields });
  return ask("Make a schedule", { ...NEW, timezone: ownZone() }, "Make it", save, field("Name", name, NAME_HELP));
}

/** Ask how a schedule is to be changed and change it; gives it as the service keeps it. */
export function changeSchedule(schedule) {
  const save = (fields) => call("PUT", addressOf(schedule.name), { body: fields });
  return ask(`Change “${schedule.name}”`, schedule, "Save", save);
}

/** Give the address of a schedule in the service's interface. */
export const addressOf = (name) => `api/schedules/${encodeURIComponent(name)}`;

async function ask(title, schedule, doing, save, ...first) {
  const { backups } = await get("api/config/backups?limit=50");
  return dialogue(title, ({ close }) => {
    const fields = [what(schedule), whenFields(schedule), passphraseFile(schedule), more(schedule, backups)];
    const value = () => Object.assign({ enabled: schedule.enabled }, ...fields.map((one) => one.value()));
    const elements = fields.map((one) => one.element);
    return form([first, elements], doing, async () => close(await save(value())), { cancel: () => close() });
  }, { wide: true });
}

function what({ kind }) {
  const input = select(KINDS, kind);
  const help = "Verifying reads the newest backup to its last byte and proves that it is whole.";
  return { element: field("What is done", input, help), value: () => ({ kind: input.value }) };
}

function passphraseFile({ passphrase_file: path }) {
  const input = el("input", { type: "text", class: "mono", maxlength: 1024, pattern: "/.+", title: "A whole path, beginning with /", autocomplete: "off", spellcheck: "false", value: path || "" });
  const element = field("File with the passphrase (empty: not encrypted)", input, FILE_HELP);
  return { element, value: () => ({ passphrase_file: input.value.trim() || null }) };
}

function more(schedule, backups) {
  const label = el("input", { type: "text", maxlength: 200, autocomplete: "off", value: schedule.label || "" });
  const jitter = el("input", { type: "number", required: true, min: 0, max: 360, step: "any", value: schedule.jitter / 60 });
  const catchUp = el("input", { type: "checkbox", checked: schedule.catch_up });
  const overlap = select(OVERLAPS, schedule.overlap);
  const parts = partChoice(backups.flatMap((backup) => backup.parts), schedule);
  const element = further(
    field("Label of its backups (if you like)", label, "A few words to recognise them by."),
    field("Up to so many minutes later", jitter, "Spreads the work, so that many machines don't all begin at the same moment. 0: at the very minute."),
    field("Make up for a time that was missed", catchUp, "When the machine was off at that time, it is done once as soon as it runs again."),
    field("If its last job has not ended yet", overlap),
    parts.element);
  const value = () => ({
    label: label.value.trim() || null,
    jitter: Math.round(Number(jitter.value) * 60),
    catch_up: catchUp.checked,
    overlap: overlap.value,
    ...parts.value(),
  });
  return { element, value };
}
