/** Says in plain words what the service names by one. */

import { count } from "./format.js";

const KINDS = { backup: "Backup", verify: "Verification", restore: "Restore", prune: "Retention" };
const STAGES = {
  plan: "Looking at what there is to do",
  components: "Saving the cell's files",
  close: "Finishing the archive",
  publish: "Writing the last of it to the disk",
  read: "Reading the archive to its last byte",
  verify: "Proving that the archive is whole",
  safety: "Saving what is about to be replaced",
  reload: "Reading the restored configuration",
  regenerate: "Making the generated configuration anew",
  finish: "Finishing",
  decide: "Deciding which backups stay",
  remove: "Removing backups",
};
const VOLUMES = { backup: "Saving the data of the services", restore: "Restoring the data of the services" };
const COMPONENTS = {
  vault: "keys, certificates and secrets of the vault",
  identity: "cell_config.json, .env, WireGuard, cell links",
  web: "Caddy with its certificates, DNS zones",
  access: "connectivity, logins, DDNS token",
  credentials: "accounts of the services",
  rest: "every other file of the cell",
};

/** Name a kind of job. */
export const kindWord = (kind) => KINDS[kind] || kind;

/** Name what a job is. */
export const jobWord = ({ kind, dry_run: isDryRun }) => (isDryRun ? "Plan of a restore" : kindWord(kind));

/** Say what a job does now. */
export function stageWord({ kind, state, stage, cancel_requested: isCancelled }) {
  if (state === "queued") return "Waiting for its turn";
  if (isCancelled) return "Stopping";
  if (!stage) return "Beginning";
  if (stage === "volumes") return VOLUMES[kind] || stage;
  return STAGES[stage] || `Restoring ${stage}`;
}

/** Name a component or volume as the service's messages do. */
export const partName = (part) => (part.service ? `${part.service}/${part.name}` : part.name);

/** Say what belongs to a component; empty for one that is not in the shipped table. */
export const componentWord = (name) => COMPONENTS[name] || "";

/** Say what a backup holds: "6 components and 2 volumes". */
export function holdings(parts) {
  const components = parts.filter((part) => part.kind === "component").length;
  const volumes = parts.length - components;
  return [components && count(components, "component"), volumes && count(volumes, "volume")].filter(Boolean).join(" and ");
}

/** Give the components and volumes that are not in a backup as they should be. */
export const lacking = (parts) => parts.filter((part) => part.outcome !== "succeeded" || part.error);
