/**
 * How fast a file goes out beside a call. Full queues of a narrow line are heard as gaps in what we say, so uploads go in small
 * steps with rests between them, less and less while our media takes longer to the server than it took at best. Sans-IO: what a
 * round trip of our media takes is asked for, and `now` is a parameter; without media of ours there is nothing to spare.
 */

import { statsOf } from "./stats.js";

/** More at a time is of no use, and lost when a connection breaks. */
export const SLICE_BYTES = 4 * 1024 * 1024;
/** What goes first, to see how fast the line is; and what goes at least. */
const FIRST_BYTES = 64 * 1024;
const LEAST_BYTES = 8 * 1024;
const LEAST_RATE = 20_000;
/** A step takes as long as this, or as twice the round trip. */
const STEP_SECONDS = 0.1;
/** Media that waits longer than this in queues is disturbed by us. */
const QUEUE_SECONDS = 0.06;
const LOOK_MS = 250;
/** What a change of the rate does is seen so much later: browsers are told of round trips about once a second. */
const HOLD_MS = 1500;
/** Networks change: what was the best once is believed less with each look. */
const AGEING_SECONDS = 0.0005;
/** A queue that is still so long, of what it was before we went at half the rate, is not ours: others fill it, or a machine is busy. */
const UNMOVED = 0.75;
const GROWTH = 1.1;
/** The rate rises no further above what was reached than this. */
const AHEAD = 1.5;

export class UploadPace {
  /** Bytes per second; 0: not known yet. */
  #rate = 0;
  #shortest = Infinity;
  #free = true;
  #lookedAt = -Infinity;
  #heldUntil = -Infinity;
  /** The queue for which the rate was halved last, in seconds. */
  #queue = Infinity;

  /** @param {() => Promise<number | null>} roundTrip seconds that our media takes to the server and back; null: we send none @param {() => number} now ms */
  constructor(roundTrip, now) {
    this.roundTrip = roundTrip;
    this.now = now;
  }

  /** How many bytes may go now. @returns {Promise<number>} */
  async next() {
    await this.#look();
    if (this.#free) return SLICE_BYTES;
    if (this.#rate === 0) return FIRST_BYTES;
    const seconds = Math.max(STEP_SECONDS, Number.isFinite(this.#shortest) ? 2 * this.#shortest : 0);
    return Math.round(Math.min(SLICE_BYTES, Math.max(LEAST_BYTES, this.#rate * seconds)));
  }

  /** So many bytes took so long: how long to rest before the next, in ms. @param {number} bytes @param {number} ms */
  rest(bytes, ms) {
    const reached = (bytes * 1000) / Math.max(1, ms);
    if (this.#rate === 0) this.#rate = reached / 2;
    const wait = this.#free ? 0 : Math.max(0, (bytes * 1000) / this.#rate - ms);
    if (this.now() >= this.#heldUntil) this.#rate = Math.max(LEAST_RATE, Math.min(this.#rate * GROWTH, reached * AHEAD));
    return wait;
  }

  async #look() {
    if (this.now() - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = this.now();
    const seconds = await this.roundTrip();
    this.#free = seconds === null;
    if (seconds === null) return;
    this.#shortest = Math.min(this.#shortest + AGEING_SECONDS, seconds);
    const queue = seconds - this.#shortest;
    if (queue < QUEUE_SECONDS) this.#queue = Infinity;
    if (queue < QUEUE_SECONDS || this.now() < this.#heldUntil) return;
    if (queue > this.#queue * UNMOVED) {
      this.#shortest = seconds;
      this.#queue = Infinity;
      return;
    }
    this.#rate = Math.max(LEAST_RATE, this.#rate / 2);
    this.#queue = queue;
    this.#heldUntil = this.now() + HOLD_MS;
  }
}

/**
 * What a round trip of our media takes, in seconds. All streams share one line, so a queue shows in each of them: the least counts.
 * A single one can be wrong for five seconds, when a busy machine was late with its last sender report; a layer at rest sends none.
 * @param {RTCPeerConnection | null} connection @returns {Promise<number | null>}
 */
export async function roundTripOf(connection) {
  if (connection?.connectionState !== "connected") return null;
  const stats = await statsOf(connection);
  if (!stats) return null;
  const reports = [...stats.values()].filter(({ type, localId }) => type === "remote-inbound-rtp" && stats.get(localId)?.active !== false);
  const times = reports.map(({ roundTripTime }) => roundTripTime ?? 0).filter((seconds) => seconds > 0);
  return times.length > 0 ? Math.min(...times) : reports.length > 0 ? 0 : null;
}
