/** What failed last, and why. */

import { isGood, nameOf, pageOf } from "../actions.js";
import { fault } from "../components.js";
import { el } from "../dom.js";
import { when } from "../parts.js";
import { jobWord, lacking, partName } from "../words.js";

const SHOWN_PARTS = 4;
const TITLES = {
  backup: { partial: "The last backup lacks something", failed: "The last backup failed" },
  verify: { failed: "The last verification failed" },
  restore: { partial: "The last restore lacks something", failed: "The last restore failed" },
  prune: { partial: "No old backups were removed", failed: "Removing old backups failed" },
};

/** Of each kind of job the newest that did not end well, where none ended well after it; a backup only counts where it is good. */
export function lastFailures(jobs, backups) {
  const good = new Set(backups.filter(isGood).map((backup) => backup.backup_id));
  const endedWell = (job) => (job.kind === "backup" ? good.has(job.backup_id) : job.state === "succeeded");
  const decided = new Set();
  return jobs.filter((job) => !job.dry_run).filter((job) => {
    const isFailure = job.state === "failed" || job.state === "partial";
    if (decided.has(job.kind) || !(isFailure || endedWell(job))) return false;
    decided.add(job.kind);
    return isFailure;
  });
}

/** Show what did not end well, and archives that were found broken. */
export function attention(failures, backups) {
  const told = new Set(failures.map((job) => job.backup_id));
  const broken = backups.filter((backup) => backup.verified && !backup.verified.ok && !told.has(backup.backup_id));
  return [...failures.map(failed), ...broken.map(damaged)];
}

function failed(job) {
  const parts = lacking(job.components);
  const kind = job.state === "failed" ? "bad" : "warn";
  return el("section", { class: `box ${kind} attention` },
    el("h2", {}, TITLES[job.kind]?.[job.state] || `${jobWord(job)}: ${job.state}`, el("span", { class: "plain" }, when(job.finished_at || job.created_at))),
    job.error ? fault(job.error) : null,
    parts.length ? el("ul", {}, parts.slice(0, SHOWN_PARTS).map(lackingPart)) : null,
    parts.length > SHOWN_PARTS ? el("p", {}, `And ${parts.length - SHOWN_PARTS} more.`) : null,
    job.kind === "verify" || job.kind === "restore" ? el("p", {}, "It was about ", el("a", { href: pageOf(job.backup_id) }, job.backup_id), ".") : null,
    el("p", {}, el("a", { href: `#/jobs/${job.job_id}` }, "All about this job")));
}

function lackingPart(part) {
  return el("li", {}, el("strong", {}, partName(part)), part.error ? fault(part.error) : null);
}

function damaged(backup) {
  return el("section", { class: "box bad attention" },
    el("h2", {}, "A backup is damaged ", el("span", { class: "plain" }, when(backup.verified.at))),
    el("p", {}, backup.verified.message || "It did not verify."),
    el("p", {}, el("a", { href: pageOf(backup.backup_id) }, nameOf(backup))));
}
