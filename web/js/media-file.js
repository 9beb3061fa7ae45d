/**
 * A film or a sound from a file of ours, played to everybody: a media element plays it, and what comes out of it is sent where a
 * shared screen would be. Owns the element; the store says that and what is played.
 */

import { SoundCard } from "./sound-card.js";
import { mayUse } from "./state.js";

/** @typedef {import("./local-media.js").LocalMedia} LocalMedia */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {HTMLVideoElement & {captureStream?: () => MediaStream, mozCaptureStream?: () => MediaStream}} CapturableElement */

/** @type {("screen" | "screen-audio")[]} */
const SOURCES = ["screen", "screen-audio"];

/** @param {MediaStreamTrack} track */
function sourceOf({ kind }) {
  return kind === "video" ? "screen" : "screen-audio";
}

export class MediaFile {
  /** @type {CapturableElement | null} what plays; the page gives it buttons */
  element = null;
  /** @type {HTMLAudioElement | null} where the browser keeps quiet what it captures */
  #monitor = null;
  /** @type {SoundCard | null} the picture of what has none */
  #card = null;
  /** @type {Set<MediaStreamTrack>} */
  #tracks = new Set();

  /** @param {LocalMedia} media @param {Store} store @param {(key: string, values?: Record<string, string>) => void} notify */
  constructor(media, store, notify) {
    this.media = media;
    this.store = store;
    this.notify = notify;
    media.addEventListener("change", () => this.#lookWhetherSent());
  }

  /** Whether this browser can send what it plays. */
  static get possible() {
    const { prototype } = HTMLMediaElement;
    return "captureStream" in prototype || "mozCaptureStream" in prototype;
  }

  /** Lets somebody choose a file and plays it. */
  choose() {
    if (!this.#allowed()) return;
    const input = document.createElement("input");
    input.type = "file";
    input.accept = "video/*,audio/*";
    input.addEventListener("change", () => input.files?.[0] && this.play(input.files[0]));
    input.click();
  }

  /** Plays it to everybody, in place of what was shared. @param {File} file */
  async play(file) {
    if (!this.#allowed()) return;
    this.stop();
    for (const source of SOURCES) this.media.stop(source);
    /** @type {CapturableElement} */
    const element = document.createElement("video");
    element.playsInline = true;
    element.src = URL.createObjectURL(file);
    this.element = element;
    try {
      await element.play();
    } catch {
      if (element !== this.element) return;
      this.stop();
      this.notify("film.unreadable", { name: file.name });
      return;
    }
    if (element !== this.element) return;
    this.#send(element, file.name);
    element.addEventListener("ended", () => element === this.element && this.stop());
  }

  /** Nobody sees and hears it any more. */
  stop() {
    const { element } = this;
    if (!element) return;
    this.element = null;
    element.pause();
    URL.revokeObjectURL(element.src);
    element.removeAttribute("src");
    if (this.#monitor) this.#monitor.srcObject = null;
    this.#monitor = null;
    this.#card?.close();
    this.#card = null;
    const ours = this.#tracks;
    this.#tracks = new Set();
    for (const source of SOURCES) {
      const track = this.media.track(source);
      if (track && ours.has(track)) this.media.stop(source);
    }
    this.store.set({ film: null });
  }

  #allowed() {
    if (!MediaFile.possible) this.notify("film.impossible");
    else if (!mayUse(this.store.state, "share")) this.notify("share.not-allowed");
    else return true;
    return false;
  }

  /** @param {CapturableElement} element @param {string} name */
  #send(element, name) {
    const stream = /** @type {MediaStream} */ (element.captureStream?.() ?? element.mozCaptureStream?.());
    // Firefox plays nowhere else what it captures.
    if (!element.captureStream) {
      this.#monitor = new Audio();
      this.#monitor.srcObject = stream;
      this.#monitor.play().catch(() => {});
    }
    // Set first: what is sent now is no shared screen.
    this.store.set({ film: { name } });
    for (const track of stream.getTracks()) this.#sendTrack(track);
    if (element.videoWidth === 0) {
      this.#card = new SoundCard(name, element);
      this.#sendTrack(this.#card.stream.getVideoTracks()[0]);
    }
    // Chromium also tells of those that were there already.
    stream.addEventListener("addtrack", ({ track }) => element === this.element && this.#sendTrack(track));
  }

  /** @param {MediaStreamTrack} track */
  #sendTrack(track) {
    if (this.#tracks.has(track)) return;
    this.#tracks.add(track);
    this.media.show(sourceOf(track), track);
  }

  /** Another share takes its place, or a host ended it. */
  #lookWhetherSent() {
    if (!this.element || this.#tracks.size === 0) return;
    const sent = SOURCES.map((source) => this.media.track(source)).filter((track) => track !== null);
    const foreign = sent.some((track) => !this.#tracks.has(track));
    if (foreign || sent.length === 0) this.stop();
  }
}
