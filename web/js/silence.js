/**
 * Notices within a second that nothing arrives any more on a connection that was never silent before: browsers take five to say
 * "disconnected" when an address is gone. Silence proves nothing, since people stop sending; it is a reason to ask the server.
 */

import { statsOf } from "./stats.js";

const LOOK_MS = 300;
const SILENT_MS = 600;
/** Still silent although the server answers and we send: the way of the media is broken, not that of the signalling. */
const BROKEN_MS = 2000;
/** Said again until something arrives: Chromium tells its WebRTC of a new network only two seconds after it is there. */
const AGAIN_MS = 1200;
/** Looks in a row at which something had arrived: only then is silence worth a word. */
const STEADY_LOOKS = 4;

/** @typedef {"silent" | "broken"} Finding the first is said once a silence */

/** Judges counters that are looked at now and then; no clock of its own. */
export class Flow {
  #received = -1;
  #sent = -1;
  #heardAt = 0;
  #steady = 0;
  /** When it is broken, or broken still. */
  #brokenAt = Infinity;

  /** @param {{sent: number, received: number}} bytes so far @param {number} now in milliseconds @returns {Finding | null} */
  look({ sent, received }, now) {
    const sending = sent !== this.#sent;
    this.#sent = sent;
    if (received !== this.#received) {
      this.#received = received;
      this.#heardAt = now;
      this.#steady += 1;
      this.#brokenAt = Infinity;
      return null;
    }
    if (this.#brokenAt === Infinity && now - this.#heardAt >= SILENT_MS) {
      const steady = this.#steady >= STEADY_LOOKS;
      this.#steady = 0;
      if (!steady) return null;
      this.#brokenAt = this.#heardAt + BROKEN_MS;
      return "silent";
    }
    if (now < this.#brokenAt || !sending) return null;
    this.#brokenAt = now + AGAIN_MS;
    return "broken";
  }
}

/** @param {RTCPeerConnection} connection */
async function bytesOf(connection) {
  const bytes = { sent: 0, received: 0 };
  const report = await statsOf(connection);
  report?.forEach((entry) => {
    if (entry.type !== "candidate-pair") return;
    bytes.sent += entry.bytesSent ?? 0;
    bytes.received += entry.bytesReceived ?? 0;
  });
  return report && bytes;
}

export class SilenceWatch {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  #flow = new Flow();

  /**
   * @param {() => RTCPeerConnection | null} connection the one to look at now
   * @param {(finding: Finding) => void} found
   */
  constructor(connection, found) {
    this.connection = connection;
    this.found = found;
  }

  start() {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look() {
    const connection = this.connection();
    if (connection !== this.#connection) this.#flow = new Flow();
    this.#connection = connection;
    const flow = this.#flow;
    const bytes = connection && (await bytesOf(connection).catch(() => null));
    const finding = bytes && flow === this.#flow ? flow.look(bytes, performance.now()) : null;
    if (finding && this.#timer !== undefined) this.found(finding);
  }
}
