/** What can be done to a backup from more than one place. */

import { post, remove } from "./api.js";
import { confirmed } from "./parts.js";
import { bytes, exactly } from "./format.js";
import { withPassphrase } from "./passphrases.js";

/** Give a backup's address in the service's interface. */
export const addressOf = (backupId) => `api/config/backups/${encodeURIComponent(backupId)}`;

/** Give a backup's page. */
export const pageOf = (backupId) => `#/backups/${encodeURIComponent(backupId)}`;

/** Name a backup as people do. */
export const nameOf = (backup) => backup.label || `Backup of ${exactly(backup.created_at)}`;

/** Tell whether a backup is one of everything and nobody found it broken; what a restore saved first is none. */
export const isGood = (backup) => backup.outcome === "succeeded" && !backup.choice.length && !backup.expires_at && !(backup.verified && !backup.verified.ok);

/** Begin to verify a backup, asking for its passphrase where it has one, and go to the job's page. */
export async function verify(backup) {
  const begin = (body) => post(`${addressOf(backup.backup_id)}/verify`, body);
  const text = "To prove that the backup is whole, all of it is decrypted and read. The passphrase is used for that and then forgotten.";
  const job = backup.encrypted
    ? await withPassphrase("Verify this backup", text, "Verify", (passphrase) => begin({ passphrase }))
    : await begin();
  if (job) location.hash = `#/jobs/${job.job_id}`;
}

/** Delete a backup, if the person means it; true where it is gone. */
export async function deleteBackup(backup) {
  const what = `“${nameOf(backup)}” (${backup.backup_id}, ${bytes(backup.size)})`;
  const text = `${what} is removed from the disk for good. Nobody can bring it back; copies that you downloaded stay.`;
  if (!(await confirmed("Delete this backup?", text, "Delete it"))) return false;
  await remove(addressOf(backup.backup_id));
  return true;
}
