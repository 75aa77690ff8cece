/** Says the audit log in plain words. */

import { count } from "../format.js";
import { kindWord } from "../words.js";

const DONE = {
  log_in: "logged in",
  log_out: "logged out",
  make_token: "made a token",
  rotate_token: "replaced a token",
  remove_token: "removed a token",
  create_backup: "began a backup",
  upload_backup: "uploaded a backup",
  verify_backup: "began to verify a backup",
  download_backup: "downloaded a backup",
  delete_backup: "deleted a backup",
  restore_backup: "asked for a restore",
  list_encrypted_contents: "looked into an encrypted backup",
  cancel_job: "stopped a job",
  make_schedule: "made a schedule",
  change_schedule: "changed a schedule",
  remove_schedule: "removed a schedule",
  run_schedule: "ran a schedule by hand",
  set_retention: "saved the rules of retention",
  reset_retention: "went back to the settings' rules of retention",
  preview_retention: "tried rules of retention",
  apply_retention: "applied the rules of retention",
  redeliver_webhook: "sent a webhook again",
  try_webhook: "tried a webhook",
};
const REFUSED = {
  unauthorized: "came without a valid token",
  forbidden: "wanted more than the token allows",
  csrf_failed: "was not the page that had logged in",
};

/** Say what happened in one entry. */
export function happened({ event, what, code, count: times }) {
  if (event === "job_ended") return `${kindWord(what)} ended`;
  const done = DONE[what] || (what || "").replaceAll("_", " ");
  if (event !== "refused") return done;
  const why = REFUSED[code] || "was refused";
  return [why, done ? ` (${done})` : "", times > 1 ? `, ${count(times, "time")}` : ""].join("");
}
