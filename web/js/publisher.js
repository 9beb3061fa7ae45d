/**
 * The peer connection for what we send. We always offer; the server answers. One sendonly transceiver a source, made when
 * the source is first used and kept for the call: turning a camera off and on only replaces its track.
 */

import { ConnectionWatch } from "./recovery.js";
import { SignallingError } from "./protocol.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */

/** A capture at least this long on its longer side is worth three layers. Chromium leaves the top of three silent below. */
const THREE_LAYERS_FROM = 960;
const LAYER_BITRATES = { q: 120_000, h: 400_000, f: 1_200_000 };
const SCREEN_BITRATE = 2_500_000;
export const SCREEN_FRAMERATE = 15;
const RETRY_MS = 1500;
/** A browser that sent into the void for longer believes in a few kbit/s and sends thumbnails; a new connection starts afresh. */
const REBUILD_AFTER_MS = 4000;

/** @param {MediaStreamTrack} track @returns {number} the longer side, in pixels */
function longerSide(track) {
  const { width = 0, height = 0 } = track.getSettings();
  return Math.max(width, height);
}

/** @param {Source} source @param {MediaStreamTrack} track @returns {RTCRtpEncodingParameters[]} lowest layer first */
export function encodingsFor(source, track) {
  if (source === "screen") return [{ maxBitrate: SCREEN_BITRATE, maxFramerate: SCREEN_FRAMERATE }];
  if (source !== "camera") return [{ priority: "high", networkPriority: "high" }];
  const { q, h, f } = LAYER_BITRATES;
  if (longerSide(track) >= THREE_LAYERS_FROM) {
    return [
      { rid: "q", scaleResolutionDownBy: 4, maxBitrate: q },
      { rid: "h", scaleResolutionDownBy: 2, maxBitrate: h },
      { rid: "f", scaleResolutionDownBy: 1, maxBitrate: f },
    ];
  }
  return [
    { rid: "h", scaleResolutionDownBy: 2, maxBitrate: q * 1.5 },
    { rid: "f", scaleResolutionDownBy: 1, maxBitrate: h * 1.5 },
  ];
}

/** VP8 first: every browser sends it in layers. @param {RTCRtpTransceiver} transceiver */
function preferVp8(transceiver) {
  const codecs = RTCRtpSender.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const first = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === "video/vp8");
  try {
    transceiver.setCodecPreferences([...first, ...codecs.filter((codec) => !first.includes(codec))]);
  } catch {
    // The browser's own order has VP8 too.
  }
}

/** Another camera may capture smaller: three layers of it would leave the best one unsent. @param {RTCRtpSender} sender @param {MediaStreamTrack} track */
async function adaptLayers(sender, track) {
  const parameters = sender.getParameters();
  if (parameters.encodings?.length !== 3) return;
  const large = longerSide(track) >= THREE_LAYERS_FROM;
  const scales = large ? [4, 2, 1] : [2, 1, 1];
  parameters.encodings.forEach((encoding, index) => {
    encoding.scaleResolutionDownBy = scales[index];
    encoding.active = large || index < 2;
  });
  await sender.setParameters(parameters).catch(() => {});
}

export class Publisher {
  /** @type {RTCPeerConnection | null} */
  connection = null;
  /** @type {Map<Source, RTCRtpTransceiver>} */
  #transceivers = new Map();
  /** @type {Map<Source, MediaStreamTrack | null>} */
  #tracks = new Map();
  /** Offers of the present connection: what the next one must do, and whether one is under way. */
  #negotiation = { wanted: /** @type {{restart: boolean} | null} */ (null), busy: false };
  /** An offer that no answer came for, because the socket broke. */
  #unanswered = false;

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
    const transceiver = this.#transceivers.get(source);
    if (transceiver) {
      await transceiver.sender.replaceTrack(track);
      if (track && source === "camera") await adaptLayers(transceiver.sender, track);
    } else if (track && this.connection) {
      this.#addTransceiver(source, track);
      this.#negotiate({ restart: false });
    } else if (track) this.rebuild();
  }

  /** We are in the room, for the first time or again. @param {boolean} resumed whether the server still knows our connections */
  joined(resumed) {
    if (!resumed) this.rebuild();
    else if (this.connection) {
      if (this.watch.broken_ms > REBUILD_AFTER_MS) this.rebuild();
      else if (this.#unanswered || !this.watch.healthy) this.restart();
    } else this.rebuild();
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
    if (![...this.#tracks.values()].some(Boolean) || this.signalling.status !== "joined") return;
    this.connection = new RTCPeerConnection(this.relays.configuration());
    for (const [source, track] of this.#tracks) if (track) this.#addTransceiver(source, track);
    this.watch.attach(this.connection);
    this.#negotiate({ restart: false });
  }

  /** Ends the connection. The tracks are still ours: who was refused sends them after all with the right password. */
  close() {
    this.watch.close();
    this.connection?.close();
    this.connection = null;
    this.#transceivers.clear();
    this.#unanswered = false;
    // What the old connection still waits for may never come: its loop ends with it.
    this.#negotiation = { wanted: null, busy: false };
  }

  /** @param {Source} source @param {MediaStreamTrack} track */
  #addTransceiver(source, track) {
    const connection = /** @type {RTCPeerConnection} */ (this.connection);
    const transceiver = connection.addTransceiver(track, { direction: "sendonly", sendEncodings: encodingsFor(source, track) });
    if (track.kind === "video") preferVp8(transceiver);
    this.#transceivers.set(source, transceiver);
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
      this.#unanswered = true;
      await connection.setLocalDescription(await connection.createOffer({ iceRestart }));
      // One added since the offer was made has no mid yet; the next offer, already wished for, has it.
      const tracks = [...this.#transceivers].filter(([, { mid }]) => mid !== null).map(([source, { mid }]) => ({ mid, source }));
      const reply = await this.signalling.request({ type: "publish", sdp: connection.localDescription?.sdp, tracks });
      if (connection !== this.connection) return;
      await connection.setRemoteDescription({ type: "answer", sdp: reply.sdp });
      this.#unanswered = false;
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
