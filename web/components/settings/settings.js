/** The dialog for devices, language and appearance during a call. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";

export class Settings extends View {
  #dialog = make("dialog", { class: "dialog", data: { dialog: "settings", opens: "opensettings" } });

  /** @override */
  build() {
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-settings" }, on: { click: () => this.#dialog.close() } });
    close.append(icon("close"));
    const look = make("div", { class: "form-row" }, make("span", { class: "form-label", text: "settings.look" }), document.createElement("turnd-appearance"));
    this.#dialog.append(
      make("header", { class: "dialog-head" }, make("h2", { text: "controls.settings" }), close),
      document.createElement("turnd-device-picker"),
      make("p", { class: "hint", text: "settings.hint", data: { shown: "without-devices" } }),
      document.createElement("turnd-self-view"),
      look,
    );
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.append(this.#dialog);
  }

  open() {
    this.call.store.set({});
    this.call.media.dispatchEvent(new Event("devices"));
    this.#dialog.showModal();
  }
}

customElements.define("turnd-settings", Settings);
