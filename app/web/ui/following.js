/** Follows a job to its end. */

import { get } from "./api.js";
import { isAway, pause, visible } from "./waiting.js";

export const ENDED = new Set(["succeeded", "partial", "failed", "cancelled"]);

/**
 * Call `onJob` with the job's document, now and whenever it changes, until it has ended or `signal` is aborted; gives the last.
 * The service pushes (server-sent events); where the stream is cut, the job is asked for two seconds later, and the stream
 * taken up again. A page that nobody sees holds no connection: a browser has only six.
 */
export async function follow(jobId, onJob, signal) {
  const address = `api/jobs/${encodeURIComponent(jobId)}`;
  let job = await get(address, { signal });
  onJob(job);
  while (!ENDED.has(job.state)) {
    await visible(signal);
    job = await streamed(`${address}/events`, job, onJob, signal);
    if (ENDED.has(job.state)) break;
    await pause(2000, signal);
    job = await asked(address, job, signal);
    onJob(job);
  }
  return job;
}

async function asked(address, job, signal) {
  try {
    return await get(address, { signal });
  } catch (error) {
    if (isAway(error)) return job;
    throw error;
  }
}

function streamed(address, job, onJob, signal) {
  return new Promise((resolve, reject) => {
    let last = job;
    const source = new EventSource(address);
    const finish = (then) => {
      source.close();
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", rest);
      then();
    };
    const end = () => finish(() => resolve(last));
    const stop = () => finish(() => reject(new DOMException("left", "AbortError")));
    const rest = () => document.hidden && end();
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", rest);
    source.addEventListener("progress", (event) => {
      const news = JSON.parse(event.data);
      if (news.progress.percent < last.progress.percent) return; // a new stream begins with what happened before
      last = { ...last, ...news };
      onJob(last);
    });
    source.addEventListener("end", (event) => {
      last = JSON.parse(event.data);
      onJob(last);
      end();
    });
    source.addEventListener("error", end); // what the browser would try again for ever may never come through a proxy
  });
}
