/**
 * The peer connection for what we receive. The server offers; we answer. Its m-lines are slots: the `slots` message says
 * whose media each carries, and that may change without a new offer.
 */

import { ConnectionWatch } from "./recovery.js";
import { describe } from "./codecs.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").Slot} Slot */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */
/** @typedef {{sdp: string, generation: number, fresh: boolean}} Offer */

const RETRY_MS = 1500;

export class Subscriber {
  /** @type {RTCPeerConnection | null} */
  connection = null;
  /** @type {Slot[]} */
  slots = [];
  /** @type {Offer | null} the newest one not yet looked at */
  #offer = null;
  /** One run of answering; a fresh offer starts another, since what a closed connection waits for never comes. */
  #round = { busy: false };

  /**
   * @param {SignallingClient} signalling
   * @param {import("./ice-servers.js").Relays} relays
   * @param {{healthy: (healthy: boolean) => void, tracks: () => void}} notify
   */
  constructor(signalling, relays, notify) {
    this.signalling = signalling;
    this.relays = relays;
    this.notify = notify;
    this.watch = new ConnectionWatch(relays, {
      ready: () => signalling.status === "joined",
      cure: (cure) => this.resubscribe(cure === "rebuild"),
      changed: notify.healthy,
    });
  }

  /** @param {boolean} resumed */
  joined(resumed) {
    if (!resumed) {
      // The server offers a new connection; the pictures of the old one are nobody's now.
      this.slots = [];
      this.#offer = null;
      this.notify.tracks();
    } else if (this.connection) this.resubscribe(false);
  }

  /** Asks the server for a new offer. @param {boolean} fresh of a new connection */
  resubscribe(fresh) {
    this.watch.expectHealth();
    this.connection?.setConfiguration(this.relays.configuration());
    this.signalling.send({ type: "resubscribe", fresh });
  }

  /** @param {Slot[]} slots */
  setSlots(slots) {
    this.slots = slots;
    this.notify.tracks();
  }

  /** @param {Offer} offer */
  async receiveOffer(offer) {
    this.#offer = { ...offer, fresh: offer.fresh || (this.#offer?.fresh ?? false) };
    if (offer.fresh) this.#round = { busy: false };
    const round = this.#round;
    if (round.busy) return;
    round.busy = true;
    while (this.#offer && round === this.#round) {
      const next = this.#offer;
      this.#offer = null;
      await this.#answer(next);
    }
    round.busy = false;
  }

  /** @param {string} participant @param {Source} source */
  slot(participant, source) {
    return this.slots.find((each) => each.participant === participant && each.source === source);
  }

  /** The track that carries this person's source now. @param {string} participant @param {Source} source @returns {MediaStreamTrack | null} */
  track(participant, source) {
    const slot = this.slot(participant, source);
    if (!slot || !this.connection) return null;
    const transceiver = this.connection.getTransceivers().find(({ mid }) => mid === slot.mid);
    return transceiver?.receiver.track ?? null;
  }

  close() {
    this.watch.close();
    this.connection?.close();
    this.connection = null;
    this.slots = [];
    this.#offer = null;
    this.#round = { busy: false };
  }

  /** @param {Offer} offer */
  async #answer(offer) {
    if (offer.fresh || !this.connection) this.#makeConnection();
    const connection = /** @type {RTCPeerConnection} */ (this.connection);
    try {
      await connection.setRemoteDescription({ type: "offer", sdp: offer.sdp });
      await describe(connection, await connection.createAnswer());
      if (connection !== this.connection) return;
      this.signalling.send({ type: "answer", sdp: connection.localDescription?.sdp, generation: offer.generation });
      this.notify.tracks();
    } catch (error) {
      if (connection !== this.connection) return;
      console.warn("turnd: answering failed", error);
      setTimeout(() => connection === this.connection && this.resubscribe(true), RETRY_MS);
    }
  }

  #makeConnection() {
    this.connection?.close();
    this.connection = new RTCPeerConnection(this.relays.configuration());
    this.connection.addEventListener("track", () => this.notify.tracks());
    this.watch.attach(this.connection);
  }
}
