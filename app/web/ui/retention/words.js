/** Says in plain words why a backup stays or goes, and what a policy keeps. */

import { count } from "../format.js";

/** The rules, in the order in which they are shown: name, label, help. */
export const RULES = [
  ["last", "Newest", "so many of the newest backups"],
  ["hourly", "Hourly", "the newest of each of so many hours"],
  ["daily", "Daily", "the newest of each of so many days"],
  ["weekly", "Weekly", "the newest of each of so many weeks"],
  ["monthly", "Monthly", "the newest of each of so many months"],
  ["yearly", "Yearly", "the newest of each of so many years"],
];

const PERIODS = { hourly: "hour", daily: "day", weekly: "week", monthly: "month", yearly: "year" };
const OTHERS = {
  no_rule_is_set: "no rule is set",
  safety_archive: "was saved before a restore; goes by itself after some days",
  not_described: "came from elsewhere",
  damaged: "is damaged; look at it before you delete it",
  in_use: "a job works with it",
  last_verified: "the last one that was verified",
  only_one: "there is no other",
  no_rule_keeps_it: "no rule keeps it",
};

/** Say one reason. */
export function reasonWord(reason, policy) {
  if (reason === "last") return policy.keep_last === 1 ? "the newest" : `one of the newest ${policy.keep_last}`;
  if (PERIODS[reason]) return `the newest of its ${PERIODS[reason]}`;
  if (reason.startsWith("oldest_")) return `the oldest, until there are enough (${reason.slice("oldest_".length)})`;
  return OTHERS[reason] || reason;
}

/** Say what a policy keeps, a line for each rule. */
export function policyLines(policy) {
  return RULES.map(([name]) => [name, policy[`keep_${name}`]])
    .filter(([, number]) => number !== null)
    .map(([name, number]) => (name === "last" ? `the newest ${count(number, "backup")}` : `the newest backup of each of ${count(number, PERIODS[name])}`));
}
