/** One person in the list. The elements stay while the person does, so that an open menu and the focus do. */

import { make, setLabel, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { mayUse } from "../../js/state.js";
import { opensMenu } from "../menu/menu.js";
import { hueOf, initials } from "../tile/tile.js";
import { personItems } from "./moderation.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/call.js").Call} Call */
/** @typedef {import("../../js/people-order.js").Person} Person */
/** @typedef {import("../menu/menu.js").MenuItem} MenuItem */

/** A round with the initials. @param {string} name */
export function avatar(name) {
  const element = make("span", { class: "people-avatar", "aria-hidden": "true", data: { hue: String(hueOf(name)) } });
  element.textContent = initials(name);
  return element;
}

export class PersonRow {
  #shown = "";
  /** @type {Person | null} */
  #person = null;
  #call;
  #avatar = avatar("");
  #name = make("span", { class: "people-name" });
  #about = make("span", { class: "people-about" });
  #rank = make("span", { class: "people-rank", "aria-hidden": "true" });
  #hand = make("span", { class: "people-hand", role: "img" }, icon("hand"), this.#rank);
  #screen = make("span", { class: "people-sign", role: "img", label: "share.is-on" }, icon("screen"));
  #cameraSign = icon("camera");
  #camera = make("span", { class: "people-sign", role: "img" }, this.#cameraSign);
  #microphoneSign = icon("microphone");
  #microphone = make("span", { class: "people-sign", role: "img" }, this.#microphoneSign);
  #stage = make("button", { class: "button small people-stage", type: "button" });
  #write = make("button", { class: "round quiet people-write", type: "button", data: { action: "write-to" } }, icon("chat"));
  #menu = make("button", { class: "round quiet people-menu", type: "button", data: { action: "person-menu" } }, icon("more"));
  element = make("li", { class: "people-item" });

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
    opensMenu(this.#menu, () => this.#items(), "people.actions");
    this.#write.addEventListener("click", () => this.#address());
    this.#stage.addEventListener("click", () => {
      if (this.#person) this.#call.stage(this.#person.id, !this.#person.self);
    });
    const below = make("span", { class: "people-below" }, this.#hand, this.#about);
    this.element.append(this.#avatar, make("span", { class: "people-words" }, this.#name, below), this.#stage, this.#screen, this.#camera, this.#microphone, this.#write, this.#menu);
  }

  /** @param {Person} person @param {State} state */
  update(person, state) {
    this.#person = person;
    const { role, broadcast } = state;
    const key = JSON.stringify([person, role, broadcast, mayUse(state, "chat"), currentLanguage()]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.element.dataset.participant = person.id;
    this.element.classList.toggle("is-away", !person.connected);
    this.#avatar.dataset.hue = String(hueOf(person.name));
    this.#avatar.textContent = initials(person.name);
    this.#name.textContent = person.self ? t("people.self", { name: person.name }) : person.name;
    this.#about.hidden = person.connected && person.role !== "host";
    setText(this.#about, person.connected ? "people.host" : "tile.away");
    this.#showSigns(person, broadcast);
    this.#showButtons(person, state);
  }

  /** @param {Person} person @param {boolean} broadcast */
  #showSigns({ rank, screen, camera, microphone, role }, broadcast) {
    this.#hand.hidden = rank === 0;
    this.#rank.textContent = String(rank);
    this.#hand.setAttribute("aria-label", t("people.hand", { rank }));
    this.#screen.hidden = !screen;
    const watches = broadcast && role === "viewer";
    this.#camera.hidden = this.#microphone.hidden = watches;
    showDevice(this.#camera, this.#cameraSign, "camera", camera);
    showDevice(this.#microphone, this.#microphoneSign, "microphone", microphone);
  }

  /** @param {Person} person @param {State} state */
  #showButtons(person, state) {
    const host = state.role === "host";
    const named = (/** @type {HTMLElement} */ button, /** @type {string} */ words) => button.setAttribute("aria-label", `${t(words)}: ${person.name}`);
    const leaves = state.broadcast && person.self && person.role === "speaker";
    const rises = state.broadcast && host && person.role === "viewer" && person.connected;
    this.#stage.hidden = !leaves && !rises;
    this.#stage.dataset.participant = person.id;
    this.#stage.dataset.action = leaves ? "send-back" : rises ? "bring" : "";
    setText(this.#stage, leaves ? "people.step-down" : "people.bring.short");
    named(this.#stage, leaves ? "people.step-down" : "people.bring");
    this.#menu.hidden = person.self || !host;
    named(this.#menu, "people.actions");
    this.#menu.title = t("people.actions");
    this.#menu.dataset.participant = person.id;
    this.#write.hidden = person.self || host || !mayUse(state, "chat");
    this.element.classList.toggle("has-button", !this.#menu.hidden || !this.#write.hidden);
    named(this.#write, "people.write");
    this.#write.title = t("people.write");
  }

  #address() {
    if (this.#person) this.#call.chat.address(this.#person.id);
  }

  /** @returns {MenuItem[]} */
  #items() {
    if (!this.#person) return [];
    const write = { text: "people.write", icon: /** @type {const} */ ("chat"), action: "write-to", press: () => this.#address() };
    return [write, ...personItems(this.#call, this.#person, this.#call.store.state.broadcast)];
  }
}

/** @param {HTMLElement} sign @param {SVGSVGElement} symbol @param {"camera" | "microphone"} what @param {boolean} on */
function showDevice(sign, symbol, what, on) {
  sign.classList.toggle("is-off", !on);
  draw(symbol, on ? what : /** @type {const} */ (`${what}-off`));
  setLabel(sign, on ? `${what}.is-on` : `${what}.is-off`);
}
