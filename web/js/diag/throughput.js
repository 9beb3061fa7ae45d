/** How many bytes a second go down and up between this browser and the server, over HTTP, within its bounds. */

import { kilobytes } from "../quality.js";

/** @typedef {import("./finding.js").Finding} Finding */

const URL_OF_DATA = "/diag/data";
/** A first try says how much fills two seconds. */
const FIRST_BYTES = 200_000;
const RUN_SECONDS = 2;
const MAX_BYTES = 4_000_000;
/** The server lets no more pass; of its own uplink it says how much. */
const SERVER_PACE = 2_500_000;
const PACE_HEADER = "Turnd-Bytes-Per-Second";
const NEAR = 0.85;
/** Bytes a second, and how many the server let pass at most. @typedef {{rate: number, pace: number}} Run */
const PATIENCE_MS = 20_000;

/** @param {number} bytesPerSecond */
const enough = (bytesPerSecond) => Math.round(Math.min(MAX_BYTES, Math.max(FIRST_BYTES, bytesPerSecond * RUN_SECONDS)));

/** From the first byte that came. @param {number} bytes @returns {Promise<Run>} */
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
  const pace = Number(response.headers.get(PACE_HEADER)) || SERVER_PACE;
  return { rate: (received / Math.max(1, performance.now() - started)) * 1000, pace };
}

/** By the clock of the server. @param {number} bytes @returns {Promise<Run>} */
async function upload(bytes) {
  const body = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(body.subarray(at, Math.min(bytes, at + 65536)));
  const started = performance.now();
  const response = await fetch(URL_OF_DATA, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${response.status}`);
  const { seconds } = await response.json();
  const ours = (performance.now() - started) / 1000;
  // What waits in buffers is counted too fast by the one clock, the way there and back too slow by the other.
  return { rate: bytes / Math.max(0.001, bytes > FIRST_BYTES ? seconds : Math.min(seconds, ours)), pace: SERVER_PACE };
}

/** @param {(bytes: number) => Promise<Run>} run @param {number} least below which a picture is poor @returns {Promise<Finding>} */
async function measure(run, least) {
  try {
    const first = await run(FIRST_BYTES);
    const { rate, pace } = await run(enough(first.rate));
    // As fast as the server goes: it is not this line that was measured.
    if (rate >= NEAR * pace) return { outcome: "good", key: "diag.at-least", values: { kB: kilobytes(pace) } };
    const kBps = kilobytes(rate);
    return { outcome: kBps >= least ? "good" : "poor", key: "diag.rate", values: { kB: kBps }, kBps };
  } catch (error) {
    const busy = error instanceof Error && (error.message === "429" || error.message === "503");
    return busy ? { outcome: "none", key: "diag.busy" } : { outcome: "bad", key: "diag.unanswered" };
  }
}

/** @param {number} least kB/s */
export const measureDownload = (least) => measure(download, least);

/** @param {number} least kB/s */
export const measureUpload = (least) => measure(upload, least);
