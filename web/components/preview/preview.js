/** Our own picture before the call, how loud we are, and the two switches. */

import { View } from "../../js/view.js";
import { make, setLabel, setText } from "../../js/dom.js";
import { draw } from "../../js/icons.js";
import { initials } from "../tile/tile.js";
import { controlButton } from "../controls/controls.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/icons.js").IconName} IconName */

class Preview extends View {
  #video = make("video", { class: "preview-video", autoplay: true, playsinline: true, muted: true, data: { source: "camera", participant: "self" } });
  #avatar = make("span", { class: "preview-avatar", "aria-hidden": "true" });
  #words = make("p", { class: "preview-words" });
  #start = make("button", { class: "button", type: "button", text: "preview.start", data: { action: "start-devices" }, on: { click: () => this.call.capture.startBoth() } });
  #settings = controlButton("settings", "settings", "controls.settings", () => this.dispatchEvent(new Event("opensettings", { bubbles: true })));
  #box = make("div", { class: "preview-box" });
  #microphone = controlButton("microphone", "microphone", "controls.microphone", () => this.call.capture.toggleMicrophone());
  #camera = controlButton("camera", "camera", "controls.camera", () => this.call.capture.toggleCamera());

  /** @override */
  build() {
    this.#video.muted = true;
    this.#video.addEventListener("resize", () => {
      // The box takes the picture's shape, but a phone held upright must leave room for the name field.
      const { videoWidth, videoHeight } = this.#video;
      this.#box.style.aspectRatio = videoHeight ? String(Math.max(4 / 3, videoWidth / videoHeight)) : "";
    });
    this.#box.append(this.#avatar, this.#words, this.#start, this.#video);
    this.#microphone.button.append(document.createElement("turnd-level"));
    this.append(this.#box, make("div", { class: "preview-switches" }, this.#microphone.button, this.#camera.button, this.#settings.button));
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#video.srcObject = null;
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
  }

  /** @param {ReturnType<typeof controlButton>} control @param {State["camera"]} capture @param {"microphone" | "camera"} what */
  #show({ button, symbol }, capture, what) {
    button.setAttribute("aria-pressed", String(capture === "on"));
    button.setAttribute("aria-busy", String(capture === "starting"));
    button.classList.toggle("is-off", capture === "off");
    draw(symbol, capture === "off" ? /** @type {IconName} */ (`${what}-off`) : what);
    setLabel(button, capture === "on" ? `${what}.turn-off` : `${what}.turn-on`);
  }
}

customElements.define("turnd-preview", Preview);
