/** Our own picture before the call, how loud we are, and the two switches. */

import { View } from "../../js/view.js";
import { make, setLabel, setText } from "../../js/dom.js";
import { draw } from "../../js/icons.js";
import { initials } from "../tile/tile.js";
import { controlButton } from "../controls/controls.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/icons.js").IconName} IconName */

const LEVEL_INTERVAL_MS = 80;

class Preview extends View {
  #video = make("video", { class: "preview-video", autoplay: true, playsinline: true, muted: true, data: { source: "camera", participant: "self" } });
  #avatar = make("span", { class: "preview-avatar", "aria-hidden": "true" });
  #words = make("p", { class: "preview-words" });
  #start = make("button", { class: "button", type: "button", text: "preview.start", data: { action: "start-devices" }, on: { click: () => this.call.startBoth() } });
  #box = make("div", { class: "preview-box" });
  #level = make("span", { class: "preview-level-bar" });
  #microphone = controlButton("microphone", "microphone", "controls.microphone", () => this.call.toggleMicrophone());
  #camera = controlButton("camera", "camera", "controls.camera", () => this.call.toggleCamera());
  /** @type {{track: MediaStreamTrack, context: AudioContext, timer: ReturnType<typeof setInterval>} | null} */
  #meter = null;

  /** @override */
  build() {
    this.#video.muted = true;
    this.#video.addEventListener("resize", () => {
      // The box takes the picture's shape, but a phone held upright must leave room for the name field.
      const { videoWidth, videoHeight } = this.#video;
      this.#box.style.aspectRatio = videoHeight ? String(Math.max(4 / 3, videoWidth / videoHeight)) : "";
    });
    const level = make("div", { class: "preview-level", "aria-hidden": "true" }, this.#level);
    this.#box.append(this.#avatar, this.#words, this.#start, this.#video);
    this.#microphone.button.append(level);
    this.append(this.#box, make("div", { class: "preview-switches" }, this.#microphone.button, this.#camera.button));
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#video.srcObject = null;
    this.#measure(null);
  }

  /** @override @param {State} state */
  update(state) {
    const camera = this.call.media.track("camera");
    const shown = /** @type {MediaStream | null} */ (this.#video.srcObject)?.getVideoTracks()[0] ?? null;
    if (camera !== shown) this.#video.srcObject = camera ? new MediaStream([camera]) : null;
    this.#box.classList.toggle("has-picture", camera !== null);
    this.#avatar.textContent = state.name ? initials(state.name) : "";
    this.#avatar.hidden = !state.name;
    const starting = state.camera === "starting" || state.microphone === "starting";
    const on = state.microphone === "on" ? "preview.only-microphone" : "preview.nothing";
    setText(this.#words, starting ? "preview.asking" : on);
    this.#start.hidden = starting || state.microphone === "on" || state.camera === "on";
    this.#show(this.#microphone, state.microphone, "microphone");
    this.#show(this.#camera, state.camera, "camera");
    this.#measure(this.call.media.track("microphone"));
  }

  /** @param {ReturnType<typeof controlButton>} control @param {State["camera"]} capture @param {"microphone" | "camera"} what */
  #show({ button, symbol }, capture, what) {
    button.setAttribute("aria-pressed", String(capture === "on"));
    button.setAttribute("aria-busy", String(capture === "starting"));
    button.classList.toggle("is-off", capture === "off");
    draw(symbol, capture === "off" ? /** @type {IconName} */ (`${what}-off`) : what);
    setLabel(button, capture === "on" ? `${what}.turn-off` : `${what}.turn-on`);
  }

  /** Shows how loud this track is. @param {MediaStreamTrack | null} track */
  #measure(track) {
    if (track === (this.#meter?.track ?? null)) return;
    if (this.#meter) {
      clearInterval(this.#meter.timer);
      this.#meter.context.close();
      this.#meter = null;
      this.#level.style.transform = "scaleX(0)";
    }
    if (!track) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Uint8Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getByteTimeDomainData(samples);
      const peak = samples.reduce((highest, sample) => Math.max(highest, Math.abs(sample - 128)), 0) / 128;
      this.#level.style.transform = `scaleX(${Math.min(1, Math.sqrt(peak)).toFixed(3)})`;
    }, LEVEL_INTERVAL_MS);
    this.#meter = { track, context, timer };
  }
}

customElements.define("turnd-preview", Preview);
