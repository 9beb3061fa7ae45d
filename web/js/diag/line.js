/** Looks at the line to the server in all ways that a call may take, and says of each what was found as soon as it is known. */

import { parseIceUrl } from "../ice-servers.js";
import { pathKey } from "../path.js";
import { socketUrl } from "../room-name.js";
import { reach } from "./gathering.js";
import { LoopbackCall } from "./loopback.js";
import { measureDownload, measureUpload } from "./throughput.js";
import { POOR_DOWN_KBPS, POOR_LOSS, POOR_RTT_MS, POOR_UP_KBPS } from "./verdict.js";

/** @typedef {import("./finding.js").Check} Check */
/** @typedef {import("./finding.js").Finding} Finding */
/** @typedef {import("../path.js").Transport} Transport */

function roomNobodyElseIsIn() {
  return `diag-${[...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {Transport} transport @returns {(url: string) => boolean} */
const relayOver = (transport) => (url) => {
  const parsed = parseIceUrl(url);
  if (!parsed?.scheme.startsWith("turn")) return false;
  return transport === "tls" ? parsed.scheme === "turns" && parsed.transport === "tcp" : parsed.scheme === "turn" && parsed.transport === transport;
};

/** @param {LoopbackCall} call @returns {Promise<Finding>} */
async function callFinding(call) {
  const figures = await call.measure();
  if (!figures) return { outcome: "bad", key: "diag.call.nothing" };
  const { first_ms, loss, rtt_ms, path } = figures;
  const values = { first: first_ms, percent: Math.round(loss * 1000) / 10, rtt: rtt_ms };
  const poor = loss > POOR_LOSS || rtt_ms > POOR_RTT_MS || path?.relayed;
  const key = path ? `diag.call.${pathKey(path)}` : "diag.call.figures";
  return { outcome: poor ? "poor" : "good", key, values, loss, rtt_ms, path };
}

/** @param {LoopbackCall} call @returns {Promise<Finding>} */
async function ipv6Finding(call) {
  const result = await call.reachOverIpv6();
  if (result === "reached") return { outcome: "good", key: "diag.ipv6.reached" };
  return { outcome: "none", key: result === "none" ? "diag.ipv6.no-server" : "diag.ipv6.unreached" };
}

/** @param {RTCIceServer[]} servers @param {(check: Check, finding: Finding) => void} found */
async function udpFindings(servers, found) {
  const [stun, turn] = await Promise.all([reach(servers, (url) => /^stun:/i.test(url), "srflx"), reach(servers, relayOver("udp"), "relay")]);
  found("turn-udp", turn);
  // It is one server on one port, and some browsers keep to themselves what STUN says.
  found("stun", turn.outcome === "good" ? { ...turn, ...(stun.outcome === "good" && stun) } : stun);
}

/** @param {(check: Check, finding: Finding) => void} found */
export async function testLine(found) {
  const call = new LoopbackCall(socketUrl(roomNobodyElseIsIn()));
  try {
    const { ms, servers } = await call.join();
    found("websocket", { outcome: "good", key: "diag.answered", values: { ms } });
    await Promise.all([
      callFinding(call).then((finding) => found("call", finding)),
      udpFindings(servers, found),
      reach(servers, relayOver("tcp"), "relay").then((finding) => found("turn-tcp", finding)),
      reach(servers, relayOver("tls"), "relay").then((finding) => found("turn-tls", finding)),
      ipv6Finding(call).then((finding) => found("ipv6", finding)),
    ]);
  } catch (error) {
    found("websocket", { outcome: "bad", key: "diag.unanswered", reason: error instanceof Error ? error.message : "" });
    return;
  } finally {
    call.close();
  }
  // By themselves: what fills the line would spoil the call.
  found("download", await measureDownload(POOR_DOWN_KBPS));
  found("upload", await measureUpload(POOR_UP_KBPS));
}
