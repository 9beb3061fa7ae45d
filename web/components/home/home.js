/** The front door: a room name ready to use, or the one somebody told you. */

import { assetUrl } from "../../js/asset.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { languageChanges } from "../../js/language.js";
import { MAX_ROOM_NAME, cleanRoomName, inventRoomName, roomLink } from "../../js/room-name.js";
import { copyLinkButton } from "../invite/invite.js";

class Home extends HTMLElement {
  #invented = "";
  #input = make("input", { class: "field home-name", id: "room", maxlength: "2048", autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "go", data: { field: "room" } });
  #link = make("output", { class: "home-link-text", for: "room" });

  connectedCallback() {
    if (this.childElementCount > 0) return;
    const shuffle = make("button", { class: "round home-shuffle", type: "button", label: "home.shuffle", data: { action: "shuffle" }, on: { click: () => this.#invent() } });
    shuffle.append(icon("shuffle"));
    const open = make("button", { class: "button primary large", type: "submit", text: "home.open", data: { action: "open" } });
    const form = make(
      "form",
      { class: "card home-card", novalidate: true },
      make("label", { class: "form-label", for: "room", text: "home.room" }),
      make("div", { class: "home-row" }, this.#input, shuffle),
      make("p", { class: "hint" }, make("span", { text: "home.link" }), " ", this.#link),
      make("div", { class: "home-buttons" }, open, copyLinkButton(() => roomLink(this.#room), "button large")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      location.assign(roomLink(this.#room));
    });
    this.#input.addEventListener("input", () => this.#show());
    this.#input.addEventListener("change", () => {
      this.#input.value = this.#room;
      this.#show();
    });
    this.#input.addEventListener("focus", () => this.#input.select());
    const brand = make("p", { class: "home-brand" }, make("img", { src: assetUrl("styles/mark.svg"), alt: "", width: "40", height: "40" }), "turnd");
    const words = make("div", { class: "home-words" }, brand, make("h1", { text: "home.title" }), make("p", { text: "home.text" }));
    const facts = make("ul", { class: "home-facts" });
    for (const key of ["home.fact.install", "home.fact.account", "home.fact.own"]) {
      const fact = make("li", {}, icon("check"), make("span", { text: key }));
      facts.append(fact);
    }
    words.append(facts);
    this.append(make("main", { class: "home-columns" }, words, form), make("footer", { class: "home-foot" }, document.createElement("turnd-appearance")));
    languageChanges.addEventListener("change", () => {
      if (this.#input.value === this.#invented) this.#invent();
    });
    this.#invent();
  }

  /** What is typed, as a room; the invented one while nothing usable is. */
  get #room() {
    return cleanRoomName(this.#input.value) || this.#invented;
  }

  #invent() {
    this.#invented = inventRoomName().slice(0, MAX_ROOM_NAME);
    this.#input.value = this.#invented;
    this.#show();
  }

  #show() {
    this.#link.textContent = roomLink(this.#room);
  }
}

customElements.define("turnd-home", Home);
