/** Says the audit log in plain words. */

import { count } from "../format.js";
import { kindWord } from "../words.js";

const ACTIONS = {
  log_in: "Log in",
  log_out: "Log out",
  make_token: "Make a token",
  rotate_token: "Replace a token",
  remove_token: "Remove a token",
  create_backup: "Begin a backup",
  upload_backup: "Upload a backup",
  verify_backup: "Begin to verify a backup",
  download_backup: "Download a backup",
  delete_backup: "Delete a backup",
  restore_backup: "Restore a backup, or try it",
  list_encrypted_contents: "Look into an encrypted backup",
  cancel_job: "Stop a job",
  make_schedule: "Make a schedule",
  change_schedule: "Change a schedule",
  remove_schedule: "Remove a schedule",
  run_schedule: "Run a schedule by hand",
  set_retention: "Save the rules of retention",
  reset_retention: "Go back to the settings' rules of retention",
  apply_retention: "Apply the rules of retention",
  redeliver_webhook: "Send a webhook again",
  try_webhook: "Try a webhook",
};
const REFUSED = {
  unauthorized: "Without a valid token",
  forbidden: "More than the token allows",
  csrf_failed: "Not from the page that had logged in",
};

/** Say what happened in one entry. */
export function happened({ event, what, code, count: times }) {
  if (event === "job_ended") return `${kindWord(what)} ended`;
  const action = ACTIONS[what] || (what || "").replaceAll("_", " ");
  if (event !== "refused") return action;
  const why = REFUSED[code] || "Refused";
  return [why, action ? `: ${action}` : "", times > 1 ? `, ${count(times, "time")}` : ""].join("");
}
