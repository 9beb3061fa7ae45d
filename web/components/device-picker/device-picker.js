/** Which microphone, camera and speaker. Shows only kinds of which there is a choice to make or a name to know. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {"microphone" | "camera" | "speaker"} What */

const KINDS = /** @type {const} */ ({ microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" });
const CAN_CHOOSE_SPEAKER = "setSinkId" in HTMLMediaElement.prototype;

class DevicePicker extends View {
  /** @type {Map<What, {row: HTMLElement, select: HTMLSelectElement}>} */
  #rows = new Map();

  /** @override */
  build() {
    for (const what of /** @type {What[]} */ (Object.keys(KINDS))) {
      if (what === "speaker" && !CAN_CHOOSE_SPEAKER) continue;
      const select = make("select", { class: "field", data: { device: what } });
      select.addEventListener("change", () => this.call.chooseDevice(what, select.value));
      const row = make("label", { class: "form-row" }, make("span", { class: "form-label", text: `device.${what}` }), select);
      this.#rows.set(what, { row, select });
      this.append(row);
    }
  }

  /** @override @param {State} state */
  update(state) {
    for (const [what, { row, select }] of this.#rows) {
      const devices = state.devices.filter(({ kind }) => kind === KINDS[what]);
      row.hidden = devices.length === 0;
      const signature = devices.map(({ deviceId, label }) => `${deviceId} ${label}`).join("\n");
      if (select.dataset.devices !== signature) {
        select.dataset.devices = signature;
        select.replaceChildren(...devices.map(({ deviceId, label }) => new Option(label, deviceId)));
      }
      select.value = this.#current(what, state) ?? devices[0]?.deviceId ?? "";
    }
    this.hidden = [...this.#rows.values()].every(({ row }) => row.hidden);
  }

  /** @param {What} what @param {State} state @returns {string | undefined} the device in use, else the one chosen */
  #current(what, state) {
    const known = (/** @type {string | undefined} */ id) => state.devices.some(({ deviceId, kind }) => deviceId === id && kind === KINDS[what]);
    const used = what === "speaker" ? undefined : this.call.media.track(what)?.getSettings().deviceId;
    return [used, state[`${what}Device`]].find((id) => id && known(id));
  }
}

customElements.define("turnd-device-picker", DevicePicker);
