/**
 * What we send of ourselves, turned on and off: asks LocalMedia for devices and keeps the store true about them. A device that is
 * lost is replaced, and comes back when it is plugged in or allowed again; a muted one comes back muted.
 */

import { captureReason } from "./local-media.js";
import { remember } from "./preferences.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./preferences.js").Choices} Choices */
/** @typedef {import("./local-media.js").LocalMedia} LocalMedia */
/** @typedef {"microphone" | "camera"} Device */

const KINDS = /** @type {const} */ ({ microphone: "audioinput", camera: "videoinput" });
/** Reasons that only the person can do away with, in the browser or the system. */
const REFUSALS = new Set(["NotAllowedError", "SecurityError", "dismissed", "system"]);
const PROCESSING = /** @type {const} */ (["echoCancellation", "noiseSuppression", "autoGainControl"]);

export class Capture {
  /** Was on when we lost it, or was wanted and refused. @type {Map<Device, {muted: boolean}>} */
  #missing = new Map();
  /** The device that was lost, to go back to. @type {Map<Device, string>} */
  #lostDevice = new Map();
  /** @type {Set<string> | null} ids of the devices there were */
  #known = null;
  /** Held, or their changes would no longer be heard of. @type {PermissionStatus[]} */
  #permissions = [];
  #talking = false;

  /**
   * @param {LocalMedia} media
   * @param {Store} store
   * @param {{notify(key: string, values?: Record<string, string>): void, tell(): void}} call `tell` says to the others what is on
   */
  constructor(media, store, { notify, tell }) {
    this.media = media;
    this.store = store;
    this.notify = notify;
    this.tell = tell;
    media.addEventListener("change", () => {
      this.#read();
      tell();
    });
    media.addEventListener("lost", (event) => {
      const { source, muted, device } = /** @type {CustomEvent<{source: Source, muted: boolean, device: string}>} */ (event).detail;
      this.#lost(source, muted, device);
    });
    media.addEventListener("devices", () => this.#devicesChanged());
    media.addEventListener("processed", () => store.set({}));
    this.#watchPermission("microphone");
    this.#watchPermission("camera");
  }

  /** Turns both on where that is possible. Says whether at least one is on. */
  async startBoth() {
    this.store.set({ microphone: "starting", camera: "starting", problem: null });
    try {
      await this.media.start({ microphone: true, camera: true });
      this.#missing.clear();
    } catch (error) {
      const reason = captureReason(error);
      if (REFUSALS.has(reason) || reason === "insecure") {
        if (reason !== "insecure") for (const what of /** @type {Device[]} */ (["microphone", "camera"])) this.#missing.set(what, { muted: false });
        this.store.set({ microphone: "off", camera: "off", problem: { what: "both", reason } });
        return false;
      }
      // One of the two is missing or taken: have the other.
      await this.start("microphone");
      await this.start("camera");
    }
    this.#read();
    return this.store.state.microphone === "on" || this.store.state.camera === "on";
  }

  /**
   * Says why it did not start; empty: it did.
   * @param {Device} what @param {{muted?: boolean, device?: string, anew?: boolean}} [how] `device` is asked for before the chosen one; see LocalMedia.start
   */
  async start(what, { muted = false, device, anew } = {}) {
    const { problem } = this.store.state;
    this.store.set({ [what]: "starting", problem: problem?.what === what || problem?.what === "both" ? null : problem });
    let reason = "";
    try {
      await this.media.start({ [what]: true, muted, device, anew });
      this.#missing.delete(what);
      // Left while the browser was still asking: the light must not come on.
      if (this.store.state.phase === "ended") this.media.stopAll();
    } catch (error) {
      reason = captureReason(error);
      if (REFUSALS.has(reason)) this.#missing.set(what, { muted });
      if (anew) this.media.stop(what);
      this.#say(what, reason);
    }
    this.#read();
    return reason;
  }

  /** What did not start, once more. */
  async retry() {
    const what = this.store.state.problem?.what;
    if (what === "both") await this.startBoth();
    else if (what === "screen") await this.toggleScreen();
    else if (what) await this.start(what, this.#missing.get(what));
  }

  /** Muting keeps the device, so that speaking again is instant; before the call it is let go. */
  async toggleMicrophone() {
    const { microphone, phase } = this.store.state;
    if (microphone === "starting") return;
    if (this.media.track("microphone")) {
      if (phase === "call") this.#speak(microphone === "off");
      else this.media.stop("microphone");
    } else await this.start("microphone");
    if (phase === "lobby") remember({ microphone: this.store.state.microphone === "on" });
  }

  /** Silent from now on, the device kept. */
  mute() {
    if (this.#missing.has("microphone")) this.#missing.set("microphone", { muted: true });
    this.#speak(false);
  }

  /** Push to talk: heard as long as the key is held. @param {boolean} on */
  async talk(on) {
    if (on === this.#talking || (on && this.store.state.microphone !== "off")) return;
    this.#talking = on;
    if (on && !this.media.track("microphone")) await this.start("microphone");
    this.#speak(this.#talking);
  }

  async toggleCamera() {
    const { camera, phase } = this.store.state;
    if (camera === "starting") return;
    if (camera === "on") this.stopCamera();
    else await this.start("camera");
    if (phase === "lobby") remember({ camera: this.store.state.camera === "on" });
  }

  stopCamera() {
    this.#missing.delete("camera");
    this.media.stop("camera");
  }

  async toggleScreen() {
    const { screen } = this.store.state;
    if (screen === "starting") return;
    if (screen === "on") {
      this.stopScreen();
      return;
    }
    this.store.set({ screen: "starting", problem: null });
    try {
      await this.media.startScreen();
    } catch (error) {
      const reason = captureReason(error);
      // Closing the browser's question is an answer.
      if (!REFUSALS.has(reason) || reason === "system") this.store.set({ problem: { what: "screen", reason } });
    }
    this.#read();
  }

  stopScreen() {
    this.media.stop("screen");
    this.media.stop("screen-audio");
  }

  /** Everything off; nothing comes back by itself. */
  stopAll() {
    this.#missing.clear();
    this.media.stopAll();
  }

  /** A telephone call or a locked screen may have taken the microphone away. */
  async pageShown() {
    const track = this.media.track("microphone");
    if (this.store.state.phase === "call" && this.store.state.microphone === "on" && track?.muted) await this.start("microphone");
  }

  /** @param {Device | "speaker"} what @param {string} deviceId */
  async chooseDevice(what, deviceId) {
    remember({ [`${what}Device`]: deviceId });
    this.store.set({ [`${what}Device`]: deviceId });
    if (what === "speaker") return;
    this.#lostDevice.delete(what);
    this.media.choice = { ...this.media.choice, [what]: deviceId };
    if (this.media.track(what)) await this.start(what, { muted: this.#muted(what) });
  }

  /** How the browser is to treat sound and picture. @param {Partial<Choices>} change */
  async process(change) {
    const { media } = this;
    media.processing = { ...media.processing, ...change };
    if ("blur" in change) await media.applyBlur();
    if (PROCESSING.some((each) => each in change) && !(await media.applyProcessing())) await this.start("microphone", { muted: this.#muted("microphone"), anew: true });
    this.store.set({});
  }

  /** @param {boolean} on */
  #speak(on) {
    const track = this.media.track("microphone");
    if (!track || track.enabled === on) return;
    track.enabled = on;
    this.#read();
    this.tell();
  }

  /** @param {Device} what */
  #muted(what) {
    return what === "microphone" && this.media.track(what)?.enabled === false;
  }

  /** A device was unplugged or forbidden, or the browser ended the share. @param {Source} source @param {boolean} muted @param {string} device */
  async #lost(source, muted, device) {
    this.#read();
    this.tell();
    if (source === "screen") this.media.stop("screen-audio");
    if (source !== "microphone" && source !== "camera") return;
    this.#missing.set(source, { muted });
    this.#lostDevice.set(source, device);
    const reason = await this.start(source, { muted });
    if (!reason) this.notify(`notice.${source}-replaced`, { device: this.media.track(source)?.label ?? "" });
    else if (!REFUSALS.has(reason)) this.#say(source, "unplugged");
  }

  async #devicesChanged() {
    const devices = await this.media.devices();
    const known = this.#known;
    const come = devices.filter(({ kind, deviceId }) => !known?.has(kind + deviceId));
    this.#known = devices.length ? new Set(devices.map(({ kind, deviceId }) => kind + deviceId)) : known;
    this.store.set({ devices });
    if (known) for (const what of /** @type {Device[]} */ (["microphone", "camera"])) await this.#plugged(what, come.filter(({ kind }) => kind === KINDS[what]));
  }

  /** @param {Device} what @param {MediaDeviceInfo[]} come */
  async #plugged(what, come) {
    const preferred = this.media.choice[what] || this.#lostDevice.get(what);
    const track = this.media.track(what);
    const missing = this.#missing.get(what);
    const device = come.find(({ deviceId }) => deviceId === preferred)?.deviceId;
    if (!come.length || (track ? !device || track.getSettings().deviceId === device : !missing)) return;
    const muted = track ? this.#muted(what) : missing?.muted;
    if (!(await this.start(what, { muted, device }))) this.notify(`notice.${what}-back`, { device: this.media.track(what)?.label ?? "" });
  }

  /** @param {Device} what */
  async #watchPermission(what) {
    try {
      const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ (what) });
      this.#permissions.push(status);
      status.addEventListener("change", () => {
        const missing = this.#missing.get(what);
        if (status.state === "granted" && missing && !this.media.track(what)) this.start(what, missing);
      });
    } catch {
      // Not every browser tells.
    }
  }

  /** @param {Device} what @param {string} reason */
  #say(what, reason) {
    const { problem } = this.store.state;
    const both = problem !== null && problem.reason === reason && problem.what !== what && problem.what !== "screen";
    this.store.set({ problem: { what: both ? "both" : what, reason } });
  }

  /** The store follows the tracks. */
  #read() {
    const { media } = this;
    this.store.set({
      microphone: media.track("microphone")?.enabled ? "on" : "off",
      camera: media.track("camera") ? "on" : "off",
      screen: media.track("screen") ? "on" : "off",
    });
    if (media.track("microphone") || media.track("camera")) remember({ asked: true });
  }
}
