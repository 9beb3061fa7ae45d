/** Who is here, and who can be heard and seen. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { hueOf, initials } from "../tile/tile.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {{name: string, shown: string, microphone: boolean, camera: boolean, screen: boolean, connected: boolean}} Person */

class People extends View {
  #list = make("ul", { class: "people-list" });

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-people" }, on: { click: () => this.call.showPanel("") } });
    close.append(icon("close"));
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.call.showPanel("");
    });
    this.append(make("header", { class: "panel-head" }, make("h2", { text: "people" }), close), this.#list);
  }

  /** @override @param {State} state */
  update(state) {
    setLabel(this, "people");
    this.hidden = state.panel !== "people";
    if (this.hidden) return;
    const self = {
      name: state.name,
      shown: `${state.name} (${t("you").toLocaleLowerCase()})`,
      microphone: state.microphone === "on",
      camera: state.camera === "on",
      screen: state.screen === "on",
      connected: true,
    };
    const others = state.participants.map((person) => ({ ...person, shown: person.name }));
    others.sort((a, b) => a.name.localeCompare(b.name));
    this.#list.replaceChildren(...[self, ...others].map((person) => this.#item(person)));
  }

  /** @param {Person} person */
  #item(person) {
    const avatar = make("span", { class: "people-avatar", "aria-hidden": "true", data: { hue: String(hueOf(person.name)) } });
    avatar.textContent = initials(person.name);
    const name = make("span", { class: "people-name" });
    name.textContent = person.shown;
    const item = make("li", { class: "people-item" }, avatar, name);
    if (!person.connected) item.append(make("span", { class: "people-away", text: "tile.away" }));
    if (person.screen) item.append(this.#sign("screen", "share.is-on", false));
    item.append(
      this.#sign(person.camera ? "camera" : "camera-off", person.camera ? "camera.is-on" : "camera.is-off", !person.camera),
      this.#sign(person.microphone ? "microphone" : "microphone-off", person.microphone ? "microphone.is-on" : "microphone.is-off", !person.microphone),
    );
    return item;
  }

  /** @param {import("../../js/icons.js").IconName} name @param {string} words @param {boolean} off */
  #sign(name, words, off) {
    const sign = make("span", { class: off ? "people-sign is-off" : "people-sign", role: "img", label: words });
    sign.append(icon(name));
    return sign;
  }
}

customElements.define("turnd-people", People);
