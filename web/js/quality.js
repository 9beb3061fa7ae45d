/**
 * How well a picture or our own connection does, in plain words and in bars. What is received is counted here, from getStats;
 * why it is no better the server says.
 */

import { pathKey, pathOf } from "./path.js";
import { statsOf } from "./stats.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./protocol.js").Limit} Limit */
/** @typedef {import("./protocol.js").ReceivedStream} ReceivedStream */

/** @typedef {0 | 1 | 2 | 3} Bars none is known, or few to many */

/** @type {Record<Limit, Bars>} */
const BARS = { none: 3, tile: 3, hidden: 3, muted: 3, sender: 2, uplink: 2, link: 1, codec: 1 };

/** @param {Limit | undefined} limit a server may be newer than this page @returns {Bars} */
export function barsOf(limit) {
  return (limit && BARS[limit]) ?? 0;
}

/** Of our own connection: the worst that it does to a picture of others. @param {State} state @returns {Bars} */
export function ownBars({ mediaHealthy, received }) {
  if (!mediaHealthy) return 1;
  return received.streams.some(({ limit }) => limit === "link") ? 2 : 3;
}

/** @param {Limit | undefined} limit @returns {string} key of the words */
export function reasonKey(limit) {
  return limit && limit in BARS ? `quality.${limit}` : "quality.unknown";
}

/** Bytes a second as people read them: whole kB, and tenths below ten. @param {number} bytesPerSecond */
export function kilobytes(bytesPerSecond) {
  const kB = bytesPerSecond / 1000;
  return kB < 9.95 ? Math.round(kB * 10) / 10 : Math.round(kB);
}

/** @typedef {{bytes: number, width: number, height: number, framerate: number}} Stream cumulative bytes */
/** @typedef {import("./path.js").Path} Path */
/** @typedef {{lost: number, all: number}} Packets cumulative; `all` with those lost */
/** @typedef {{at: number, sent: number, received: number, streams: Map<string, Stream>, incoming: Packets, outgoing: Packets, paths: (Path | null)[]}} Sample streams by mid */

/** @param {number} at @returns {Sample} */
export function emptySample(at) {
  return { at, sent: 0, received: 0, streams: new Map(), incoming: { lost: 0, all: 0 }, outgoing: { lost: 0, all: 0 }, paths: [] };
}

/** @param {(RTCPeerConnection | null)[]} connections @returns {Promise<Sample>} */
export async function sampleTraffic(connections) {
  const reports = await Promise.all(connections.map((connection) => connection && statsOf(connection)));
  /** @type {Sample} */
  const sample = emptySample(performance.now());
  for (const report of reports) report?.forEach((entry) => count(sample, entry));
  sample.paths = reports.map((report) => (report ? pathOf(report) : null));
  return sample;
}

/** @param {Sample} sample @param {any} entry of RTCStatsReport */
export function count(sample, entry) {
  if (entry.type === "candidate-pair") {
    sample.sent += entry.bytesSent ?? 0;
    sample.received += entry.bytesReceived ?? 0;
  } else if (entry.type === "outbound-rtp") sample.outgoing.all += entry.packetsSent ?? 0;
  else if (entry.type === "remote-inbound-rtp") sample.outgoing.lost += Math.max(0, entry.packetsLost ?? 0);
  else if (entry.type === "inbound-rtp") {
    const lost = Math.max(0, entry.packetsLost ?? 0);
    sample.incoming.lost += lost;
    sample.incoming.all += lost + (entry.packetsReceived ?? 0);
    if (entry.kind !== "video") return;
    const { bytesReceived: bytes = 0, frameWidth: width = 0, frameHeight: height = 0, framesPerSecond: framerate = 0 } = entry;
    sample.streams.set(String(entry.mid), { bytes, width, height, framerate: Math.round(framerate) });
  }
}

/**
 * What went by between two samples, in bytes a second.
 * @param {Sample} before @param {Sample} after
 */
export function traffic(before, after) {
  const seconds = Math.max(0.001, (after.at - before.at) / 1000);
  const rate = (/** @type {number} */ from, /** @type {number} */ to) => Math.max(0, to - from) / seconds;
  const loss = (/** @type {Packets} */ from, /** @type {Packets} */ to) => Math.min(1, Math.max(0, to.lost - from.lost) / Math.max(1, to.all - from.all));
  const paths = after.paths.filter((path) => path !== null);
  return {
    loss: { incoming: loss(before.incoming, after.incoming), outgoing: loss(before.outgoing, after.outgoing) },
    rtt_ms: Math.max(0, ...paths.map(({ rtt_ms }) => rtt_ms)),
    /** Of both connections, each way once. */
    ways: [...new Set(paths.map(pathKey))],
    /** The relay takes TCP only where UDP does not get through. */
    noUdp: paths.some(({ relayed, transport }) => relayed && transport !== "udp"),
    sent: rate(before.sent, after.sent),
    received: rate(before.received, after.received),
    /** @param {string} mid */
    stream: (mid) => {
      const now = after.streams.get(mid);
      return now ? { ...now, bytes: rate(before.streams.get(mid)?.bytes ?? now.bytes, now.bytes) } : null;
    },
  };
}
