/** How many bytes a second go down and up between this browser and the server, over HTTP, within its bounds. */

import { kilobytes } from "../quality.js";

/** @typedef {import("./finding.js").Finding} Finding */

const URL_OF_DATA = "/diag/data";
/** A first try says how much fills two seconds. */
const FIRST_BYTES = 200_000;
const RUN_SECONDS = 2;
const MAX_BYTES = 4_000_000;
/** The server lets no more pass. */
const SERVER_KBPS = 2500;
const NEAR = 0.85;
const PATIENCE_MS = 20_000;

/** @param {number} bytesPerSecond */
const enough = (bytesPerSecond) => Math.round(Math.min(MAX_BYTES, Math.max(FIRST_BYTES, bytesPerSecond * RUN_SECONDS)));

/** @param {number} bytes @returns {Promise<number>} bytes a second, from the first that came */
async function download(bytes) {
  const response = await fetch(`${URL_OF_DATA}?bytes=${bytes}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok || !response.body) throw new Error(`${response.status}`);
  const reader = response.body.getReader();
  const first = await reader.read();
  const started = performance.now();
  let received = 0;
  for (let chunk = first; !chunk.done; ) {
    chunk = await reader.read();
    received += chunk.value?.length ?? 0;
  }
  return (received / Math.max(1, performance.now() - started)) * 1000;
}

/** @param {number} bytes @returns {Promise<number>} bytes a second, by the clock of the server */
async function upload(bytes) {
  const body = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(body.subarray(at, Math.min(bytes, at + 65536)));
  const started = performance.now();
  const response = await fetch(URL_OF_DATA, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${response.status}`);
  const { seconds } = await response.json();
  const ours = (performance.now() - started) / 1000;
  // What waits in buffers is counted too fast by the one clock, the way there and back too slow by the other.
  return bytes / Math.max(0.001, bytes > FIRST_BYTES ? seconds : Math.min(seconds, ours));
}

/** @param {(bytes: number) => Promise<number>} run @param {number} least below which a picture is poor @returns {Promise<Finding>} */
async function measure(run, least) {
  try {
    const kBps = kilobytes(await run(enough(await run(FIRST_BYTES))));
    const capped = kBps >= NEAR * SERVER_KBPS;
    return { outcome: kBps >= least ? "good" : "poor", key: capped ? "diag.at-least" : "diag.rate", values: { kB: capped ? SERVER_KBPS : kBps }, kBps };
  } catch (error) {
    const busy = error instanceof Error && (error.message === "429" || error.message === "503");
    return busy ? { outcome: "none", key: "diag.busy" } : { outcome: "bad", key: "diag.unanswered" };
  }
}

/** @param {number} least kB/s */
export const measureDownload = (least) => measure(download, least);

/** @param {number} least kB/s */
export const measureUpload = (least) => measure(upload, least);
