/** Who is here, and who can be heard and seen; in a webinar also who watches, whom hosts bring to the stage and send back. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { maySend, onStage } from "../../js/state.js";
import { hueOf, initials } from "../tile/tile.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/protocol.js").Participant & {shown: string}} Person */

/** A hall of a thousand is not read to its end. */
const MAX_VIEWERS_LISTED = 200;

class People extends View {
  #list = make("ul", { class: "people-list" });
  #audience = make("h3", { class: "people-part" });
  #viewers = make("ul", { class: "people-list" });
  #more = make("p", { class: "hint people-more" });

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-people" }, on: { click: () => this.call.showPanel("") } });
    close.append(icon("close"));
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.call.showPanel("");
    });
    this.append(make("header", { class: "panel-head" }, make("h2", { text: "people" }), close), make("div", { class: "people-scroll" }, this.#list, this.#audience, this.#viewers, this.#more));
  }

  /** @override @param {State} state */
  update(state) {
    setLabel(this, "people");
    this.hidden = state.panel !== "people";
    if (this.hidden) return;
    const others = onStage(state).map((person) => ({ ...person, shown: person.name }));
    others.sort((a, b) => a.name.localeCompare(b.name));
    const people = maySend(state) ? [this.#self(state), ...others] : others;
    this.#list.replaceChildren(...people.map((person) => this.#item(person, state)));
    this.#showAudience(state);
  }

  /** @param {State} state @returns {Person} */
  #self(state) {
    return {
      id: state.self,
      name: state.name,
      shown: `${state.name} (${t("you").toLocaleLowerCase()})`,
      microphone: state.microphone === "on",
      camera: state.camera === "on",
      screen: state.screen === "on",
      connected: true,
      role: state.role,
    };
  }

  /** Only hosts are told who watches; everybody is told how many. @param {State} state */
  #showAudience(state) {
    const viewers = state.participants.filter(({ role }) => role === "viewer");
    const count = Math.max(state.audience, viewers.length);
    this.#audience.hidden = !state.broadcast;
    this.#audience.textContent = t("people.watching", { count });
    viewers.sort((a, b) => a.name.localeCompare(b.name));
    const listed = viewers.slice(0, MAX_VIEWERS_LISTED);
    this.#viewers.hidden = listed.length === 0;
    this.#viewers.replaceChildren(...listed.map((viewer) => this.#viewer(viewer)));
    this.#more.hidden = listed.length === viewers.length;
    this.#more.textContent = t("people.more", { count: viewers.length - listed.length });
  }

  /** @param {import("../../js/protocol.js").Participant} viewer */
  #viewer(viewer) {
    const item = this.#named({ ...viewer, shown: viewer.name });
    if (viewer.connected) item.append(this.#stageButton(viewer, true, "people.bring"));
    return item;
  }

  /** @param {{id: string, name: string}} person @param {boolean} on @param {string} words */
  #stageButton({ id, name }, on, words) {
    const button = make("button", { class: "button small people-stage", type: "button", text: words, data: { action: on ? "bring" : "send-back", participant: id }, on: { click: () => this.call.stage(id, on) } });
    button.setAttribute("aria-label", `${t(words)}: ${name}`);
    return button;
  }

  /** Hosts send speakers back; a speaker steps down. @param {Person} person @param {State} state */
  #back(person, { broadcast, role, self }) {
    if (!broadcast || person.role !== "speaker") return [];
    if (person.id === self) return [this.#stageButton(person, false, "people.step-down")];
    return role === "host" ? [this.#stageButton(person, false, "people.send-back")] : [];
  }

  /** @param {Person} person */
  #named(person) {
    const avatar = make("span", { class: "people-avatar", "aria-hidden": "true", data: { hue: String(hueOf(person.name)) } });
    avatar.textContent = initials(person.name);
    const name = make("span", { class: "people-name" });
    name.textContent = person.shown;
    const item = make("li", { class: "people-item" }, avatar, name);
    if (!person.connected) item.append(make("span", { class: "people-away", text: "tile.away" }));
    return item;
  }

  /** @param {Person} person @param {State} state */
  #item(person, state) {
    const item = this.#named(person);
    item.append(...this.#back(person, state));
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
