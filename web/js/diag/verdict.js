/**
 * What is wrong, in one sentence: the first line of this table that holds. Rules over findings, and nothing else. Whatever keeps a
 * call from coming about stands before what makes it poor, and the network before the devices.
 */

/** @typedef {import("./finding.js").Findings} Findings */
/** @typedef {import("./finding.js").Outcome} Outcome */
/** @typedef {{outcome: Outcome, key: string, values?: Record<string, string | number>}} Verdict */

/** Beyond these people notice. */
export const POOR_LOSS = 0.03;
export const POOR_RTT_MS = 300;
/** Sound takes 6 kB/s, a small picture 25, a good one 150. */
export const LEAST_KBPS = 30;
export const POOR_UP_KBPS = 125;
export const POOR_DOWN_KBPS = 200;

const RELAYS = /** @type {const} */ (["turn-udp", "turn-tcp", "turn-tls"]);

/** @param {Findings} findings */
const anyRelay = (findings) => RELAYS.some((check) => findings[check]?.outcome === "good");

/** @param {Findings} findings */
const nothingOfUdp = (findings) => findings.stun?.outcome === "bad" && findings["turn-udp"]?.outcome === "bad";

/** @param {Findings} findings @param {import("./finding.js").Check} check */
const failed = (findings, check) => findings[check]?.outcome === "bad";

/** @type {[Outcome, string, (findings: Findings) => unknown, ((findings: Findings) => Record<string, number>)?][]} */
const TABLE = [
  ["bad", "diag.says.no-server", (f) => failed(f, "websocket")],
  ["bad", "diag.says.nothing", (f) => failed(f, "call") && !anyRelay(f)],
  ["bad", "diag.says.no-media", (f) => failed(f, "call")],
  ["poor", "diag.says.no-udp", (f) => f.call?.path?.relayed && f.call.path.transport !== "udp" && nothingOfUdp(f)],
  ["poor", "diag.says.relay-stream", (f) => f.call?.path?.relayed && f.call.path.transport !== "udp"],
  ["poor", "diag.says.relay", (f) => f.call?.path?.relayed],
  ["poor", "diag.says.lossy", (f) => (f.call?.loss ?? 0) > POOR_LOSS, (f) => ({ percent: Math.round((f.call?.loss ?? 0) * 100) })],
  ["bad", "diag.says.no-upload", (f) => (f.upload?.kBps ?? Infinity) < LEAST_KBPS, (f) => ({ kB: f.upload?.kBps ?? 0 })],
  ["bad", "diag.says.no-download", (f) => (f.download?.kBps ?? Infinity) < LEAST_KBPS, (f) => ({ kB: f.download?.kBps ?? 0 })],
  ["poor", "diag.says.far", (f) => (f.call?.rtt_ms ?? 0) > POOR_RTT_MS, (f) => ({ ms: f.call?.rtt_ms ?? 0 })],
  ["poor", "diag.says.slow-upload", (f) => (f.upload?.kBps ?? Infinity) < POOR_UP_KBPS, (f) => ({ kB: f.upload?.kBps ?? 0 })],
  ["poor", "diag.says.slow-download", (f) => (f.download?.kBps ?? Infinity) < POOR_DOWN_KBPS, (f) => ({ kB: f.download?.kBps ?? 0 })],
  ["bad", "diag.says.insecure", (f) => [f.camera?.reason, f.microphone?.reason].includes("insecure")],
  ["bad", "diag.says.both-refused", (f) => failed(f, "camera") && failed(f, "microphone") && f.microphone?.reason === "NotAllowedError"],
  ["bad", "diag.says.microphone", (f) => failed(f, "microphone")],
  ["poor", "diag.says.silent", (f) => f.microphone?.outcome === "poor"],
  ["bad", "diag.says.camera", (f) => failed(f, "camera")],
  ["poor", "diag.says.dark", (f) => f.camera?.outcome === "poor"],
  ["good", "diag.says.all-good", (f) => f.call && f.camera && f.microphone],
  ["good", "diag.says.line-good", (f) => f.call],
  ["good", "diag.says.devices-good", (f) => f.camera || f.microphone],
];

/** @param {Findings} findings @returns {Verdict | null} null: nothing has been looked at */
export function verdict(findings) {
  const line = TABLE.find(([, , holds]) => holds(findings));
  if (!line) return null;
  const [outcome, key, , values] = line;
  return { outcome, key, values: values?.(findings) };
}
