/**
 * Our own camera, microphone and screen: asking for them, losing them, changing them. It owns the tracks; a `change` event
 * says which source has another track now. It never asks for permission unless told to start something.
 */

import { SCREEN_FRAMERATES } from "./layers.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {{microphone: string, camera: string}} DeviceChoice ids; empty: the browser's choice */
/** @typedef {"text" | "motion"} ScreenHint sharp letters, or moving pictures */

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** @param {unknown} error @returns {string} */
export function captureReason(error) {
  return error instanceof DOMException || error instanceof Error ? error.name : "unknown";
}

class InsecureContext extends Error {
  constructor() {
    super("no media devices outside a secure context");
    this.name = "insecure";
  }
}

export class LocalMedia extends EventTarget {
  /** @type {Map<Source, MediaStreamTrack>} */
  #tracks = new Map();
  /** @type {DeviceChoice} */
  choice = { microphone: "", camera: "" };
  /** @type {ScreenHint} */
  screenHint = "text";

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.dispatchEvent(new Event("devices")));
  }

  static get canShareScreen() {
    return Boolean(navigator.mediaDevices && "getDisplayMedia" in navigator.mediaDevices);
  }

  /** @param {Source} source @returns {MediaStreamTrack | null} */
  track(source) {
    return this.#tracks.get(source) ?? null;
  }

  /** Whether asking now would not show a question. @param {"microphone" | "camera"} what */
  async granted(what) {
    try {
      const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ (what) });
      return status.state === "granted";
    } catch {
      return false;
    }
  }

  /** Opens these, in one question of the browser. Throws what getUserMedia throws. @param {{microphone?: boolean, camera?: boolean}} wanted */
  async start({ microphone = false, camera = false }) {
    if (!navigator.mediaDevices) throw new InsecureContext();
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: microphone && { ...MICROPHONE, ...this.#device(this.choice.microphone) },
      video: camera && { ...CAMERA, ...this.#device(this.choice.camera) },
    });
    for (const track of stream.getTracks()) this.#take(track.kind === "audio" ? "microphone" : "camera", track);
    this.dispatchEvent(new Event("devices"));
  }

  /** Throws what getDisplayMedia throws; NotAllowedError means the person changed their mind. */
  async startScreen() {
    if (!navigator.mediaDevices) throw new InsecureContext();
    const options = {
      video: { frameRate: this.#screenFramerate() },
      // The others must not hear themselves in the shared sound.
      audio: { suppressLocalAudioPlayback: false, restrictOwnAudio: true, echoCancellation: false },
      selfBrowserSurface: "exclude",
      surfaceSwitching: "include",
      systemAudio: "include",
    };
    const stream = await navigator.mediaDevices.getDisplayMedia(/** @type {DisplayMediaStreamOptions} */ (options));
    for (const track of stream.getTracks()) {
      if (track.kind === "video") track.contentHint = this.screenHint;
      this.#take(track.kind === "video" ? "screen" : "screen-audio", track);
    }
  }

  /** What the shared screen shows, now and next time. @param {ScreenHint} hint */
  async hintScreen(hint) {
    this.screenHint = hint;
    const track = this.track("screen");
    if (!track) return;
    track.contentHint = hint;
    this.#changed("screen");
    await track.applyConstraints({ frameRate: this.#screenFramerate() }).catch(() => {});
  }

  #screenFramerate() {
    const framerate = SCREEN_FRAMERATES[this.screenHint];
    return { ideal: framerate, max: framerate };
  }

  /** Lets go of the device; its light goes out. @param {Source} source */
  stop(source) {
    const track = this.#tracks.get(source);
    if (!track) return;
    this.#tracks.delete(source);
    track.stop();
    this.#changed(source);
  }

  stopAll() {
    for (const source of [...this.#tracks.keys()]) this.stop(source);
  }

  /** @returns {Promise<MediaDeviceInfo[]>} those whose names may be known */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    return all.filter(({ deviceId, label }) => deviceId && label);
  }

  /** @param {string} deviceId */
  #device(deviceId) {
    // "ideal": a device that was left at home is no reason to have none.
    return deviceId ? { deviceId: { ideal: deviceId } } : {};
  }

  /** @param {Source} source @param {MediaStreamTrack} track */
  #take(source, track) {
    const old = this.#tracks.get(source);
    this.#tracks.set(source, track);
    old?.stop();
    track.addEventListener("ended", () => {
      if (this.#tracks.get(source) !== track) return;
      this.#tracks.delete(source);
      this.#changed(source);
      this.dispatchEvent(new CustomEvent("lost", { detail: source }));
    });
    this.#changed(source);
  }

  /** @param {Source} source */
  #changed(source) {
    this.dispatchEvent(new CustomEvent("change", { detail: source }));
  }
}
