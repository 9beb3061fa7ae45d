/** The dialog for devices, sound and picture, appearance, notifications and keys, before and during a call. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/preferences.js").Choices} Choices */

export class Settings extends View {
  #dialog = make("dialog", { class: "dialog settings", "aria-labelledby": "settings-title", data: { dialog: "settings", opens: "opensettings" } });
  /** @type {Map<keyof Choices, HTMLInputElement>} */
  #switches = new Map();
  #picker = document.createElement("turnd-device-picker");
  #blur = this.#switch("blur");
  #noBlur = make("p", { class: "hint", text: "settings.no-blur" });

  /** @override */
  build() {
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-settings" }, on: { click: () => this.#dialog.close() } });
    close.append(icon("close"));
    this.#picker.id = "settings-device";
    this.#dialog.append(
      make("header", { class: "dialog-head" }, make("h2", { text: "controls.settings", id: "settings-title" }), close),
      make(
        "div",
        { class: "settings-columns" },
        this.#part("settings.devices", make("p", { class: "hint", text: "settings.hint", data: { shown: "without-devices" } }), this.#picker),
        this.#part("settings.sound-and-picture", this.#switch("noiseSuppression"), this.#switch("echoCancellation"), this.#switch("autoGainControl"), this.#blur, this.#noBlur),
        this.#part("settings.look", document.createElement("turnd-appearance"), document.createElement("turnd-self-view")),
        this.#part("settings.notifications", this.#switch("sounds"), this.#switch("mutedHint")),
        this.#part("settings.keyboard", this.#switch("shortcuts"), this.#switch("pushToTalk"), this.#list()),
      ),
    );
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("close", () => this.#level?.replaceChildren());
    this.append(this.#dialog);
  }

  /** @override @param {State} state */
  update({ choices, devices }) {
    for (const [name, input] of this.#switches) input.checked = choices[name];
    for (const hint of this.querySelectorAll("[data-shown]")) hint.toggleAttribute("hidden", devices.length > 0);
    const { blur } = this.call.media;
    this.#blur.hidden = blur === null;
    this.#noBlur.hidden = blur !== null || !this.call.media.track("camera");
    const input = this.#switches.get("blur");
    if (input && blur !== null) input.checked = blur;
  }

  open() {
    this.call.store.set({});
    this.call.media.dispatchEvent(new Event("devices"));
    // The microphone is listened to only while somebody looks.
    this.#level?.replaceChildren(document.createElement("turnd-level"));
    this.#dialog.showModal();
  }

  get #level() {
    return this.#picker.querySelector(".device-level");
  }

  /** @param {string} title @param {...Node} children */
  #part(title, ...children) {
    return make("section", { class: "settings-part" }, make("h3", { text: title }), ...children);
  }

  /** @param {keyof Choices} name */
  #switch(name) {
    const input = make("input", { class: "switch", type: "checkbox", role: "switch", data: { choice: name } });
    input.addEventListener("change", () => this.call.choose({ [name]: input.checked }));
    this.#switches.set(name, input);
    const words = make("span", { class: "switch-words" }, make("span", { text: `choice.${name}` }));
    if (name === "pushToTalk" || name === "echoCancellation" || name === "mutedHint") words.append(make("span", { class: "hint switch-hint", text: `choice.${name}.hint` }));
    return make("label", { class: "switch-row" }, words, input);
  }

  #list() {
    const open = () => {
      this.#dialog.close();
      this.dispatchEvent(new Event("openshortcuts", { bubbles: true }));
    };
    return make("button", { class: "button", type: "button", text: "shortcuts.all", data: { action: "list-shortcuts" }, on: { click: open } });
  }
}

customElements.define("turnd-settings", Settings);
