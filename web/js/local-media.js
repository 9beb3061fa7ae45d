/**
 * Our own camera, microphone and screen: asking for them, losing them, changing them. It owns the tracks; a `change` event
 * says which source has another track now. It never asks for permission unless told to start something.
 */

import { SCREEN_FRAMERATES } from "./layers.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {{microphone: string, camera: string}} DeviceChoice ids; empty: the browser's choice */
/** @typedef {"text" | "motion"} ScreenHint sharp letters, or moving pictures */

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/**
 * The name of the exception, more exact where only its message tells: `system` forbade it, or the question was `dismissed`.
 * @param {unknown} error @returns {string}
 */
export function captureReason(error) {
  if (!(error instanceof DOMException || error instanceof Error)) return "unknown";
  if (error.name !== "NotAllowedError") return error.name;
  if (/system/i.test(error.message)) return "system";
  return /dismissed/i.test(error.message) ? "dismissed" : error.name;
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
  /** @type {Set<MediaStreamTrack>} */
  #copies = new Set();
  /** @type {DeviceChoice} */
  choice = { microphone: "", camera: "" };
  /** What the browser is to do with sound and picture. */
  processing = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, blur: false };
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

  /**
   * Opens these, in one question of the browser. Throws what getUserMedia throws.
   * @param {{microphone?: boolean, camera?: boolean, muted?: boolean, device?: string, anew?: boolean}} wanted `muted` is the microphone;
   *   `device` comes before the choice; `anew` lets go of the microphone first
   */
  async start({ microphone = false, camera = false, muted = false, device, anew = false }) {
    if (!navigator.mediaDevices) throw new InsecureContext();
    if (anew) for (const track of [...this.#copies, this.#tracks.get("microphone")]) track?.stop();
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: microphone && { ...this.#treatment(), ...this.#device(device ?? this.choice.microphone) },
      video: camera && { ...CAMERA, ...this.#device(device ?? this.choice.camera) },
    });
    for (const track of stream.getTracks()) {
      // Before anybody can hear it.
      if (track.kind === "audio") track.enabled = !muted;
      this.#take(track.kind === "audio" ? "microphone" : "camera", track);
    }
    // Only on: what the system blurs by its own switch stays blurred.
    if (camera && this.processing.blur && this.blur === false) await this.applyBlur();
    this.dispatchEvent(new Event("devices"));
  }

  /** The microphone to listen to on this computer, muted or not. Whoever takes it stops it. */
  copyOfMicrophone() {
    const copy = this.#tracks.get("microphone")?.clone();
    if (!copy) return null;
    copy.enabled = true;
    for (const each of this.#copies) if (each.readyState === "ended") this.#copies.delete(each);
    this.#copies.add(copy);
    return copy;
  }

  #treatment() {
    const { echoCancellation, noiseSuppression, autoGainControl } = this.processing;
    return { echoCancellation, noiseSuppression, autoGainControl };
  }

  /** Says whether the microphone is treated as asked now; otherwise it has to be opened anew, with nothing of it left: Chromium treats all of one device alike. */
  async applyProcessing() {
    const track = this.track("microphone");
    if (!track) return true;
    const wanted = this.#treatment();
    await track.applyConstraints({ ...wanted, ...this.#device(track.getSettings().deviceId ?? "") }).catch(() => {});
    const settings = /** @type {Record<string, unknown>} */ (track.getSettings());
    return Object.entries(wanted).every(([name, value]) => !(name in settings) || settings[name] === value);
  }

  /** Whether the background is blurred; null where this cannot be switched. It takes a browser that does it: we load no foreign code. */
  get blur() {
    const track = this.track("camera");
    const able = /** @type {{backgroundBlur?: boolean[]} | undefined} */ (track?.getCapabilities?.())?.backgroundBlur ?? [];
    if (!able.includes(true) || !able.includes(false)) return null;
    return /** @type {{backgroundBlur?: boolean} | undefined} */ (track?.getSettings())?.backgroundBlur ?? false;
  }

  async applyBlur() {
    const wanted = /** @type {MediaTrackConstraints} */ ({ backgroundBlur: this.processing.blur });
    await this.track("camera")?.applyConstraints({ ...CAMERA, ...wanted }).catch(() => {});
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

  /** Sends what something of this page plays, such as a film. @param {"screen" | "screen-audio"} source @param {MediaStreamTrack} track */
  show(source, track) {
    if (track.kind === "video") track.contentHint = "motion";
    this.#take(source, track);
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
    const device = track.getSettings().deviceId ?? "";
    track.addEventListener("ended", () => {
      if (this.#tracks.get(source) !== track) return;
      this.#tracks.delete(source);
      this.#changed(source);
      this.dispatchEvent(new CustomEvent("lost", { detail: { source, muted: !track.enabled, device } }));
    });
    // The system's own switch for the blur, say.
    track.addEventListener("configurationchange", () => this.dispatchEvent(new Event("processed")));
    this.#changed(source);
  }

  /** @param {Source} source */
  #changed(source) {
    this.dispatchEvent(new CustomEvent("change", { detail: source }));
  }
}
