/** Waits, all of which end when the view is left. */

import { put } from "./dom.js";
import { problemBox } from "./parts.js";

const AWAY = new Set([0, 502, 503, 504]);

/** Tell whether the service is only away for now, and will be back. */
export const isAway = (error) => AWAY.has(error.status);

/** Wait so long. */
export function pause(milliseconds, signal) {
  return until(signal, (done) => {
    const timer = setTimeout(done, milliseconds);
    return () => clearTimeout(timer);
  });
}

/** Wait until somebody can see the page. */
export async function visible(signal) {
  if (!document.hidden) return;
  await until(signal, (done) => {
    const look = () => document.hidden || done();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  });
}

/** Wait until what `begin` starts calls `done`; it gives what undoes it. */
function until(signal, begin) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(left());
      return;
    }
    const over = (settle) => {
      undo();
      signal.removeEventListener("abort", stop);
      settle();
    };
    const stop = () => over(() => reject(left()));
    const undo = begin(() => over(resolve));
    signal.addEventListener("abort", stop);
  });
}

const left = () => new DOMException("left", "AbortError");

/**
 * Call `look` again and again, only while the page is seen; it gives the seconds until the next time. While the service does
 * not answer, `trouble` says so. Never throws, so it need not be awaited.
 */
export async function repeat(look, { seconds, signal, trouble }) {
  let wait = seconds;
  while (!signal.aborted) {
    try {
      await pause(wait * 1000, signal);
      await visible(signal);
      wait = await look();
      put(trouble);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError" || error.status === 401) return;
      put(trouble, problemBox(error));
      if (!("status" in error)) throw error;
      wait = seconds;
    }
  }
}
