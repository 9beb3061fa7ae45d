/**
 * The peer connection for what we send. We always offer; the server answers. One sendonly transceiver a source, made when
 * the source is first used and kept for the call: turning a camera off and on only replaces its track.
 */

import { ConnectionWatch } from "./recovery.js";
import { SignallingError } from "./protocol.js";
import { SenderTuning } from "./sender-tuning.js";
import { degradationPreference, encodingsFor, tune } from "./layers.js";
import { canEncode, canLayer, describe, preferCodec } from "./codecs.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */
/** @typedef {import("./protocol.js").VideoCodec} VideoCodec */
/** @typedef {import("./protocol.js").WantedSource} WantedSource */
/** @typedef {import("./layers.js").Capture} Capture */

const RETRY_MS = 1500;
/** A browser that sent into the void for longer believes in a few kbit/s and sends thumbnails; a new connection starts afresh. */
const REBUILD_AFTER_MS = 4000;
/** An offer that was made before the server let us in is good for so long; later the network may be another one. */
const AHEAD_MS = 5000;

/** @typedef {{transceiver: RTCRtpTransceiver, tuning: SenderTuning}} Sending */

/** @param {MediaStreamTrack | null | undefined} track @returns {number} the longer side, in pixels */
function longerSide(track) {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  return Math.max(width, height);
}

/** @param {RTCPeerConnection} connection @param {boolean} iceRestart */
async function offer(connection, iceRestart) {
  await describe(connection, await connection.createOffer({ iceRestart }));
}

export class Publisher {
  /** @type {RTCPeerConnection | null} */
  connection = null;
  /** @type {VideoCodec} of the room */
  codec = "vp8";
  /** @type {Map<Source, Sending>} */
  #sending = new Map();
  /** @type {WantedSource[]} what somebody watches; a source not listed is sent whole */
  #wanted = [];
  /** @type {Map<Source, MediaStreamTrack | null>} */
  #tracks = new Map();
  /** Offers of the present connection: what the next one must do, and whether one is under way. */
  #negotiation = { wanted: /** @type {{restart: boolean} | null} */ (null), busy: false };
  /** The offer that waits for us to be in the room, and the codec it prefers. @type {{codec: VideoCodec, until_ms: number, described: Promise<void>} | null} */
  #ahead = null;

  /**
   * @param {SignallingClient} signalling
   * @param {import("./ice-servers.js").Relays} relays
   * @param {(healthy: boolean) => void} changed
   */
  constructor(signalling, relays, changed) {
    this.signalling = signalling;
    this.relays = relays;
    this.watch = new ConnectionWatch(relays, {
      ready: () => signalling.status === "joined",
      cure: (cure) => (cure === "restart" ? this.restart() : this.rebuild()),
      changed,
    });
  }

  /** Sends this track as the source from now on; null sends nothing. @param {Source} source @param {MediaStreamTrack | null} track */
  async setTrack(source, track) {
    this.#tracks.set(source, track);
    const sending = this.#sending.get(source);
    if (this.#ahead) this.close();
    else if (sending) {
      await sending.transceiver.sender.replaceTrack(track);
      if (track) await sending.tuning.apply();
    } else if (track && this.connection) {
      this.#addTransceiver(source, track);
      this.#negotiate({ restart: false });
    } else if (track) this.rebuild();
  }

  /** The whole of what somebody watches. @param {WantedSource[]} sources */
  setWanted(sources) {
    this.#wanted = sources;
    this.tune();
  }

  /** Whether somebody watches this source. @param {Source} source */
  watched(source) {
    return this.#layers(source)?.some(({ active }) => active) ?? true;
  }

  /** Brings what is sent in line with what is wanted and captured. */
  tune() {
    for (const { tuning } of this.#sending.values()) tuning.apply();
  }

  /** Makes the connection and its first offer while the server still lets us in; but relays are known only then. */
  prepare() {
    this.close();
    const connection = this.relays.direct && this.#connect();
    if (!connection) return;
    const described = offer(connection, false);
    described.catch(() => {}); // whoever uses it hears of it
    this.#ahead = { codec: this.codec, until_ms: performance.now() + AHEAD_MS, described };
  }

  /** We are in the room, for the first time or again. @param {boolean} resumed whether the server still knows our connections */
  joined(resumed) {
    const ahead = this.#ahead;
    if (ahead?.codec === this.codec && performance.now() < ahead.until_ms) this.#start();
    // What broke the socket may have changed our address, which ICE would notice seconds later.
    else if (!ahead && resumed && this.connection && this.watch.broken_ms <= REBUILD_AFTER_MS) this.restart();
    else this.rebuild();
  }

  /** New ICE credentials on the same connection. */
  restart() {
    if (!this.connection) return;
    this.watch.expectHealth();
    this.connection.setConfiguration(this.relays.configuration());
    this.#negotiate({ restart: true });
  }

  /** A new connection with everything that is on now. Nothing is made before there is something to send. */
  rebuild() {
    this.close();
    if (this.signalling.status === "joined" && this.#connect()) this.#start();
  }

  /** A connection for what is on now; null: nothing is. */
  #connect() {
    if (![...this.#tracks.values()].some(Boolean)) return null;
    this.connection = new RTCPeerConnection(this.relays.configuration());
    for (const [source, track] of this.#tracks) if (track) this.#addTransceiver(source, track);
    return this.connection;
  }

  #start() {
    this.watch.attach(this.connection);
    this.#negotiate({ restart: false });
  }

  /** Ends the connection. The tracks are still ours: who was refused sends them after all with the right password. */
  close() {
    this.watch.close();
    this.connection?.close();
    this.connection = null;
    this.#ahead = null;
    this.#sending.clear();
    this.#wanted = [];
    // What the old connection still waits for may never come: its loop ends with it.
    this.#negotiation = { wanted: null, busy: false };
  }

  /** @param {Source} source @param {MediaStreamTrack} track */
  #addTransceiver(source, track) {
    const connection = /** @type {RTCPeerConnection} */ (this.connection);
    const sendEncodings = encodingsFor(this.#capture(source, track));
    const transceiver = connection.addTransceiver(track, { direction: "sendonly", sendEncodings });
    if (track.kind === "video") preferCodec(transceiver, this.codec);
    const tuning = new SenderTuning(transceiver.sender, (parameters) => this.#tune(source, parameters));
    this.#sending.set(source, { transceiver, tuning });
    tuning.apply();
  }

  /** @param {Source} source @param {MediaStreamTrack | null | undefined} track @returns {Capture} */
  #capture(source, track) {
    const inStream = this.codec === "vp9" || this.codec === "av1";
    return {
      source,
      longerSide: longerSide(track),
      motion: track?.contentHint === "motion",
      temporal: canLayer("L1T3"),
      spatial: inStream && canEncode(this.codec) && canLayer("L3T3_KEY"),
    };
  }

  /** @param {Source} source @param {RTCRtpSendParameters & {degradationPreference?: string}} parameters */
  #tune(source, parameters) {
    const track = this.#tracks.get(source);
    if ((source !== "camera" && source !== "screen") || !track) return false;
    const capture = this.#capture(source, track);
    const encodings = parameters.encodings ?? [];
    const changed = tune(encodings, capture, this.#layers(source));
    const preference = degradationPreference(encodings, capture);
    const preferred = parameters.degradationPreference === preference;
    parameters.degradationPreference = preference;
    return changed || !preferred;
  }

  /** @param {Source} source */
  #layers(source) {
    return this.#wanted.find((each) => each.source === source)?.layers ?? null;
  }

  /** @param {{restart: boolean}} wish */
  async #negotiate(wish) {
    const negotiation = this.#negotiation;
    negotiation.wanted = { restart: wish.restart || (negotiation.wanted?.restart ?? false) };
    if (negotiation.busy) return;
    negotiation.busy = true;
    while (negotiation.wanted && this.connection && this.signalling.status === "joined") {
      const { restart } = negotiation.wanted;
      negotiation.wanted = null;
      await this.#negotiateOnce(this.connection, restart);
      if (negotiation !== this.#negotiation) return;
    }
    negotiation.wanted = null;
    negotiation.busy = false;
  }

  /** @param {RTCPeerConnection} connection @param {boolean} iceRestart */
  async #negotiateOnce(connection, iceRestart) {
    try {
      const described = this.#ahead?.described ?? offer(connection, iceRestart);
      this.#ahead = null;
      await described;
      // One added since the offer was made has no mid yet; the next offer, already wished for, has it.
      const known = [...this.#sending].filter(([, { transceiver }]) => transceiver.mid !== null);
      const tracks = known.map(([source, { transceiver }]) => ({ mid: transceiver.mid, source }));
      const reply = await this.signalling.request({ type: "publish", sdp: connection.localDescription?.sdp, tracks });
      if (connection !== this.connection) return;
      await connection.setRemoteDescription({ type: "answer", sdp: reply.sdp });
      this.tune();
    } catch (error) {
      if (connection !== this.connection) return;
      // A broken socket brings us back here through joined(); everything else gets another try.
      if (error instanceof SignallingError && error.code === "disconnected") return;
      console.warn("turnd: publishing failed", error);
      setTimeout(() => {
        if (connection !== this.connection) return;
        if (error instanceof SignallingError && error.code === "rate") this.#negotiate({ restart: iceRestart });
        else this.watch.expectHealth();
      }, RETRY_MS);
    }
  }
}
