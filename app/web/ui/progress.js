/** Shows how far a job is. */

import { el, put } from "./dom.js";
import { bytes, count, duration, rate } from "./format.js";
import { stageWord } from "./words.js";

/** Make a bar that `show(job)` keeps up to date; `name` says whose it is to those who do not see the page. */
export function progressBar(name) {
  const filled = el("span", {});
  const bar = el("div", { class: "bar", role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 }, filled);
  const stage = el("strong", {});
  const percent = el("span", { class: "percent" });
  const numbers = el("p", { class: "numbers" });

  function show(job) {
    const { progress } = job;
    const whole = Math.floor(progress.percent);
    filled.style.width = `${progress.percent}%`;
    put(stage, stageWord(job));
    put(percent, job.state === "queued" ? "" : `${whole} %`);
    put(numbers, job.state === "queued" ? "" : told(progress).map((text) => el("span", {}, text)));
    bar.setAttribute("aria-valuenow", whole);
    bar.setAttribute("aria-valuetext", [`${whole} percent`, stageWord(job), left(progress)].filter(Boolean).join(", "));
  }
  return { element: el("div", { class: "progress" }, el("div", { class: "stage" }, stage, percent), bar, numbers), show };
}

function told(progress) {
  const total = progress.bytes_total === null ? "" : ` of ${progress.estimated ? "about " : ""}${bytes(progress.bytes_total)}`;
  return [
    `${bytes(progress.bytes_done)}${total}${progress.estimated && total ? " (estimated)" : ""}`,
    progress.rate ? rate(progress.rate) : null,
    left(progress),
    progress.files_done ? count(progress.files_done, "file") : null,
    progress.current ? `now: ${progress.current}` : null,
  ].filter(Boolean);
}

const left = ({ eta_seconds: seconds, estimated }) => (seconds === null ? "" : `${estimated && seconds >= 1 ? "about " : ""}${duration(seconds)} left`);
