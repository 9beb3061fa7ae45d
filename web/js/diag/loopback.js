/**
 * A call with ourselves through the server, in a room of its own: one client sends a made picture and a made tone, another receives
 * them, as participants of any room do. It owns both clients and all that is made for them.
 */

import { SignallingClient } from "../protocol.js";
import { Publisher } from "../publisher.js";
import { Subscriber } from "../subscriber.js";
import { Relays } from "../ice-servers.js";
import { pathOf } from "../path.js";
import { statsOf } from "../stats.js";

/** @typedef {import("../protocol.js").Joined} Joined */
/** @typedef {{first_ms: number, loss: number, rtt_ms: number, path: import("../path.js").Path | null}} CallFigures */

const JOIN_PATIENCE_MS = 8000;
const FIRST_FRAME_PATIENCE_MS = 25_000;
const LOOK_MS = 40;
const MEASURE_MS = 4000;
const SIZE = { width: 640, height: 360 };
const FRAMERATE = 15;

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A picture that moves and a tone, without a device. */
class MadeMedia {
  #canvas = Object.assign(document.createElement("canvas"), SIZE);
  #audio = new AudioContext();
  /** @type {ReturnType<typeof setInterval>} */
  #timer;

  constructor() {
    const destination = this.#audio.createMediaStreamDestination();
    const tone = this.#audio.createOscillator();
    tone.connect(destination);
    tone.start();
    this.microphone = destination.stream.getAudioTracks()[0];
    this.camera = this.#canvas.captureStream(FRAMERATE).getVideoTracks()[0];
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    let step = 0;
    this.#timer = setInterval(() => {
      step += 1;
      context.fillStyle = `hsl(${step * 7} 60% 50%)`;
      context.fillRect((step * 31) % SIZE.width, (step * 17) % SIZE.height, 90, 60);
    }, 1000 / FRAMERATE);
  }

  close() {
    clearInterval(this.#timer);
    this.camera.stop();
    this.microphone.stop();
    this.#audio.close();
  }
}

/** @param {RTCStatsReport} report */
function arrived(report) {
  let [frames, packets, lost] = [0, 0, 0];
  report.forEach((entry) => {
    if (entry.type !== "inbound-rtp") return;
    frames += entry.framesDecoded ?? 0;
    packets += entry.packetsReceived ?? 0;
    lost += Math.max(0, entry.packetsLost ?? 0);
  });
  return { frames, packets, lost };
}

export class LoopbackCall {
  #relays = new Relays({ transport: null, port: null });
  /** @type {MadeMedia | null} */
  #media = null;

  /** @param {string} url of the WebSocket of a room that nobody else is in */
  constructor(url) {
    this.sender = new SignallingClient(url);
    this.receiver = new SignallingClient(url);
    this.publisher = new Publisher(this.sender, this.#relays, () => {});
    this.subscriber = new Subscriber(this.receiver, this.#relays, { healthy: () => {}, tracks: () => {} });
    this.sender.on("wanted", ({ sources }) => this.publisher.setWanted(sources));
    this.receiver.on("offer", (offer) => this.subscriber.receiveOffer(offer));
    this.receiver.on("slots", ({ slots }) => this.subscriber.setSlots(slots));
  }

  /** Both come into the room. Rejects with the code of a refusal, or `timeout`. @returns {Promise<{ms: number, servers: RTCIceServer[]}>} */
  async join() {
    const started = performance.now();
    const [joined] = await Promise.all([this.#join(this.sender), this.#join(this.receiver)]);
    this.#relays.servers = joined.ice_servers ?? [];
    return { ms: Math.round(performance.now() - started), servers: this.#relays.servers };
  }

  /** Sends and receives until it is known how that goes. @returns {Promise<CallFigures | null>} null: no picture came */
  async measure() {
    const started = performance.now();
    this.#media = new MadeMedia();
    this.publisher.setTrack("camera", this.#media.camera);
    this.publisher.setTrack("microphone", this.#media.microphone);
    this.sender.send({ type: "state", microphone: true, camera: true, screen: false });
    const deadline = started + FIRST_FRAME_PATIENCE_MS;
    while (!(await this.#report())?.frames) {
      if (performance.now() > deadline) return null;
      await pause(LOOK_MS);
    }
    const first_ms = Math.round(performance.now() - started);
    const before = await this.#report();
    await pause(MEASURE_MS);
    const after = await this.#report();
    if (!before || !after) return null;
    const [packets, lost] = [after.packets - before.packets, Math.max(0, after.lost - before.lost)];
    return { first_ms, loss: lost / Math.max(1, packets + lost), rtt_ms: after.path?.rtt_ms ?? 0, path: after.path };
  }

  /** Whether media could reach the server over IPv6. @returns {Promise<"reached" | "unreached" | "none">} none: the server has no such address */
  async reachOverIpv6() {
    const connection = new RTCPeerConnection();
    try {
      const transceiver = connection.addTransceiver("audio", { direction: "sendonly" });
      await connection.setLocalDescription();
      const tracks = [{ mid: transceiver.mid, source: "microphone" }];
      const { sdp } = await this.receiver.request({ type: "publish", sdp: connection.localDescription?.sdp, tracks });
      const only = onlyIpv6(sdp);
      if (!only) return "none";
      await connection.setRemoteDescription({ type: "answer", sdp: only });
      return (await connected(connection)) ? "reached" : "unreached";
    } catch {
      return "unreached";
    } finally {
      connection.close();
    }
  }

  close() {
    this.publisher.close();
    this.subscriber.close();
    this.sender.leave();
    this.receiver.leave();
    this.#media?.close();
  }

  async #report() {
    const { connection } = this.subscriber;
    const report = connection && (await statsOf(connection).catch(() => null));
    return report ? { ...arrived(report), path: pathOf(report) } : null;
  }

  /** @param {SignallingClient} client @returns {Promise<Joined>} */
  #join(client) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("timeout")), JOIN_PATIENCE_MS);
      client.on("joined", (joined) => {
        clearTimeout(timer);
        if (client === this.sender) this.publisher.joined(joined.resumed);
        else {
          this.subscriber.joined(joined.resumed);
          this.#look(joined);
        }
        resolve(joined);
      });
      client.on("refused", ({ code }) => reject(new Error(code)));
      client.on("participant", ({ participant }) => {
        if (client === this.receiver) this.#view([participant.id]);
      });
      client.join({ name: "diag" });
    });
  }

  /** @param {Joined} joined */
  #look({ participants }) {
    if (participants.length > 0) this.#view(participants.map(({ id }) => id));
  }

  /** @param {string[]} participants */
  #view(participants) {
    this.receiver.send({ type: "view", tiles: participants.map((participant) => ({ participant, source: "camera", ...SIZE })) });
  }
}

/** The answer with its candidates over IPv6 alone; null if there are none. @param {string} sdp */
export function onlyIpv6(sdp) {
  const lines = sdp.split(/\r\n/);
  const isCandidate = (/** @type {string} */ line) => line.startsWith("a=candidate:");
  const isIpv6 = (/** @type {string} */ line) => (line.split(" ")[4] ?? "").includes(":");
  if (!lines.some((line) => isCandidate(line) && isIpv6(line))) return null;
  return lines.filter((line) => !isCandidate(line) || isIpv6(line)).join("\r\n");
}

/** @param {RTCPeerConnection} connection @returns {Promise<boolean>} */
function connected(connection) {
  return new Promise((done) => {
    const timer = setTimeout(() => done(false), 5000);
    connection.addEventListener("iceconnectionstatechange", () => {
      const { iceConnectionState: state } = connection;
      if (state !== "connected" && state !== "completed" && state !== "failed") return;
      clearTimeout(timer);
      done(state !== "failed");
    });
  });
}
