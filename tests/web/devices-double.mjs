/** The devices of a computer, and the browser that asks before it opens one. */

/** A track as the browser gives it, as far as capturing goes. */
class Track extends EventTarget {
  enabled = true;
  readyState = "live";
  constructor(kind, device, constraints) {
    super();
    this.kind = kind === "audioinput" ? "audio" : "video";
    this.device = device;
    this.label = device.label;
    this.settings = { deviceId: device.deviceId, echoCancellation: constraints.echoCancellation, noiseSuppression: constraints.noiseSuppression };
  }
  getSettings() {
    return this.settings;
  }
  getCapabilities() {
    return this.device.blurs ? { backgroundBlur: this.device.blurs } : {};
  }
  async applyConstraints({ backgroundBlur }) {
    if (backgroundBlur !== undefined) this.settings.backgroundBlur = backgroundBlur;
  }
  clone() {
    return Object.assign(new Track("audioinput", this.device, {}), { enabled: this.enabled });
  }
  stop() {
    this.readyState = "ended";
  }
  unplug() {
    this.readyState = "ended";
    this.dispatchEvent(new Event("ended"));
  }
}

/** The devices of a computer and what the browser says about them. */
export class Devices extends EventTarget {
  present = [];
  error = null;
  opened = [];
  async enumerateDevices() {
    return this.present;
  }
  async getUserMedia({ audio, video }) {
    if (this.error) throw Object.assign(new Error(this.error), { name: this.error });
    const tracks = [];
    for (const [kind, wanted] of [["audioinput", audio], ["videoinput", video]]) {
      if (!wanted) continue;
      // Chromium treats all that is open of one device alike.
      const live = this.opened.find(({ kind: of, readyState, device }) => of === "audio" && kind === "audioinput" && readyState === "live" && device.deviceId === wanted.deviceId?.ideal);
      const all = this.present.filter((each) => each.kind === kind);
      const device = all.find(({ deviceId }) => deviceId === wanted.deviceId?.ideal) ?? all[0];
      if (!device) throw Object.assign(new Error("none"), { name: "NotFoundError" });
      tracks.push(new Track(kind, device, live ? { ...wanted, ...live.settings } : wanted));
    }
    this.opened.push(...tracks);
    return { getTracks: () => tracks };
  }
  /** As it is at first. @param {...[kind: string, deviceId: string]} present */
  reset(...present) {
    this.error = null;
    this.opened = [];
    this.present = [];
    for (const each of present) this.plug(...each);
  }
  plug(kind, deviceId) {
    this.present = [...this.present, { kind, deviceId, label: deviceId }];
    this.dispatchEvent(new Event("devicechange"));
  }
  unplug(deviceId) {
    this.present = this.present.filter((each) => each.deviceId !== deviceId);
    for (const track of this.opened) if (track.device.deviceId === deviceId && track.readyState === "live") track.unplug();
    this.dispatchEvent(new Event("devicechange"));
  }
}

export const devices = new Devices();
export const permissions = { microphone: new EventTarget(), camera: new EventTarget() };
Object.defineProperty(globalThis, "navigator", {
  configurable: true,
  value: { mediaDevices: devices, permissions: { query: async ({ name }) => permissions[name] }, languages: ["en"] },
});
