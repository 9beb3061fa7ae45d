/** Which microphone, camera and speaker, and a sound to try the speaker with. Shows only kinds whose names we may know. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { TONES, playTones } from "../../js/tones.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {"microphone" | "camera" | "speaker"} What */

const KINDS = /** @type {const} */ ({ microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" });
const CAN_CHOOSE_SPEAKER = "setSinkId" in HTMLMediaElement.prototype;
const TEST_VOLUME = 0.2;

class DevicePicker extends View {
  /** @type {Map<What, {row: HTMLElement, select: HTMLSelectElement}>} */
  #rows = new Map();
  #test = make("button", { class: "button", type: "button", data: { action: "test-speaker" }, on: { click: () => this.#play() } }, icon("sound"), make("span", { text: "device.test" }));

  /** @override */
  build() {
    for (const what of /** @type {What[]} */ (Object.keys(KINDS))) {
      const id = `${this.id || "device"}-${what}`;
      const select = make("select", { class: "field", id, data: { device: what } });
      select.addEventListener("change", () => this.call.capture.chooseDevice(what, select.value));
      const choice = make("div", { class: "device-choice" }, select, ...(what === "speaker" ? [this.#test] : []));
      const row = make("div", { class: `form-row device-${what}` }, make("label", { class: "form-label", text: `device.${what}`, for: id }), choice);
      // Whoever wants to see how loud it is puts a bar there.
      if (what === "microphone") row.append(make("div", { class: "device-level" }));
      this.#rows.set(what, { row, select });
      this.append(row);
    }
  }

  /** @override @param {State} state */
  update(state) {
    this.toggleAttribute("data-unknown", state.devices.length === 0);
    for (const [what, { row, select }] of this.#rows) {
      const devices = state.devices.filter(({ kind }) => kind === KINDS[what]);
      // The speaker can be tried although the browser, or the telephone, chooses it.
      select.hidden = devices.length === 0 || (what === "speaker" && !CAN_CHOOSE_SPEAKER);
      row.hidden = select.hidden && what !== "speaker";
      const signature = devices.map(({ deviceId, label }) => `${deviceId} ${label}`).join("\n");
      if (select.dataset.devices !== signature) {
        select.dataset.devices = signature;
        select.replaceChildren(...devices.map(({ deviceId, label }) => new Option(label, deviceId)));
      }
      select.value = this.#current(what, state) ?? devices[0]?.deviceId ?? "";
    }
  }

  /** @param {What} what @param {State} state @returns {string | undefined} the device in use, else the one chosen */
  #current(what, state) {
    const known = (/** @type {string | undefined} */ id) => state.devices.some(({ deviceId, kind }) => deviceId === id && kind === KINDS[what]);
    const used = what === "speaker" ? undefined : this.call.media.track(what)?.getSettings().deviceId;
    return [used, state[`${what}Device`]].find((id) => id && known(id));
  }

  async #play() {
    if (this.#test.getAttribute("aria-busy") === "true") return;
    this.#test.setAttribute("aria-busy", "true");
    await playTones(TONES.test, { speaker: this.call.store.state.speakerDevice, volume: TEST_VOLUME }).catch(() => {});
    this.#test.setAttribute("aria-busy", "false");
  }
}

customElements.define("turnd-device-picker", DevicePicker);
