/** Cron lines for those who don't know them: simple choices make one, and one is said in plain words. */

export const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const WHOLE = /^\d+$/;

/** Take a cron line apart: {often: "hour" | "day" | "week" | "month" | "own", minute, time: "02:30", weekday, day}. */
export function simple(line) {
  const fields = line.trim().split(/\s+/);
  const [minute, hour, day, month, weekday] = fields;
  const [isMinute, isHour, isDay, isWeekday] = [upTo(minute, 59), upTo(hour, 23), upTo(day, 31) && Number(day) > 0, upTo(weekday, 7)];
  if (fields.length !== 5 || !isMinute || month !== "*") return { often: "own" };
  if (hour === "*" && day === "*" && weekday === "*") return { often: "hour", minute: Number(minute) };
  if (!isHour) return { often: "own" };
  const time = `${twoDigits(hour)}:${twoDigits(minute)}`;
  if (day === "*" && weekday === "*") return { often: "day", time };
  if (day === "*" && isWeekday) return { often: "week", time, weekday: Number(weekday) % 7 };
  if (isDay && weekday === "*") return { often: "month", time, day: Number(day) };
  return { often: "own" };
}

/** Make the cron line of a simple choice. */
export function lineOf({ often, minute: atMinute, time, weekday, day }) {
  if (often === "hour") return `${atMinute} * * * *`;
  const [hour, minute] = time.split(":").map(Number);
  if (often === "week") return `${minute} ${hour} * * ${weekday}`;
  if (often === "month") return `${minute} ${hour} ${day} * *`;
  return `${minute} ${hour} * * *`;
}

/** Say a cron line in words; empty where it is none of the simple ones. */
export function inWords(line) {
  const { often, minute, time, weekday, day } = simple(line);
  if (often === "hour") return `Every hour, at minute ${minute}`;
  if (often === "day") return `Every day at ${time}`;
  if (often === "week") return `Every ${WEEKDAYS[weekday]} at ${time}`;
  if (often === "month") return `Every month on day ${day} at ${time}${day > 28 ? "; months without that day are passed over" : ""}`;
  return "";
}

const upTo = (text, most) => WHOLE.test(text || "") && Number(text) <= most;
const twoDigits = (text) => String(Number(text)).padStart(2, "0");
