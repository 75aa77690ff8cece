/** Sends a file to the service, and says meanwhile how far it is. */

import { csrfHeader, Problem, problemOf, renewSession } from "./api.js";

const WINDOW = 10_000;

/**
 * Send a file by PUT; `onProgress` is called with {sent, total, rate, left}: bytes, bytes a second over the last ten, and
 * seconds. Gives the JSON of the answer; throws Problem, and AbortError once `signal` is aborted.
 */
export async function send(address, file, { onProgress, signal }) {
  await renewSession(signal); // after a login in another tab, all of the file would be sent before the refusal is heard
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const measure = meter();
    request.open("PUT", address);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(csrfHeader())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(measure(event.loaded, file.size)));
    request.addEventListener("load", () => (request.status < 400 ? resolve(request.response) : reject(problemOf(request.status, request.response))));
    request.addEventListener("error", () => reject(new Problem(0, {
      code: "unreachable",
      detail: "The connection was cut before all of the file had arrived.",
      hint: "Nothing of it was kept: send it again. If it happens at once, look whether there is room in the backup directory.",
    })));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    request.addEventListener("loadend", () => signal.removeEventListener("abort", stop));
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    request.send(file);
  });
}

function meter() {
  const seen = [{ at: performance.now(), sent: 0 }];
  return (sent, total) => {
    const at = performance.now();
    seen.push({ at, sent });
    while (seen.length > 2 && at - seen[1].at > WINDOW) seen.shift();
    const seconds = (at - seen[0].at) / 1000;
    const rate = seconds > 0.5 ? (sent - seen[0].sent) / seconds : null;
    return { sent, total, rate, left: rate ? (total - sent) / rate : null };
  };
}
