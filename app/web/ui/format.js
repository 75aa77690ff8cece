/** Says numbers and times as people do. */

const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** Say a size in decimal units: "4.7 GB". */
export function bytes(number) {
  if (number === null || number === undefined) return "unknown";
  let unit = 0;
  let rest = number;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  if (unit === 0) return number === 1 ? "1 byte" : `${number} bytes`;
  return `${rest.toFixed(rest < 9.95 ? 1 : 0)} ${UNITS[unit]}`;
}

/** Say a count with its noun: "1 file", "12,345 files". */
export function count(number, noun, nouns = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : nouns}`;
}

/** Say a rate in bytes a second. */
export const rate = (number) => `${bytes(Math.round(number))}/s`;

/** Say how long something takes: "under 1 s", "42 s", "3 min 5 s", "2 h 10 min". */
export function duration(seconds) {
  if (seconds > 0 && seconds < 1) return "under 1 s";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Say a time as seen from now: "3 hours ago", "in 2 days". */
export function ago(time, now = Date.now()) {
  const seconds = (new Date(time).getTime() - now) / 1000;
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) || ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Say a time exactly, in this computer's time zone. */
export function exactly(time) {
  return exact.format(new Date(time));
}
