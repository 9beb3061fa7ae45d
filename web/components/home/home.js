/** The front door: a room name ready to use, or the one somebody told you. */

import { assetUrl } from "../../js/asset.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { readPass } from "../../js/entry.js";
import { languageChanges } from "../../js/language.js";
import { MAX_ROOM_NAME, cleanRoomName, inventRoomName } from "../../js/room-name.js";
import { invitationLink } from "../../js/room-settings.js";
import { copyLinkButton } from "../invite/copy-link.js";

class Home extends HTMLElement {
  #invented = "";
  #input = make("input", { class: "field home-name", id: "room", maxlength: "2048", dir: "auto", autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "go", data: { field: "room" } });
  #link = make("output", { class: "home-link-text", for: "room" });
  #webinar = make("input", { class: "switch", type: "checkbox", role: "switch", "aria-labelledby": "home-webinar", "aria-describedby": "home-webinar-hint", data: { field: "webinar" } });
  /** What a link that was pasted brings beside the room. */
  #fragment = "";

  connectedCallback() {
    if (this.childElementCount > 0) return;
    const shuffle = make("button", { class: "round home-shuffle", type: "button", label: "home.shuffle", data: { action: "shuffle" }, on: { click: () => this.#invent() } });
    shuffle.append(icon("shuffle"));
    const open = make("button", { class: "button primary large", type: "submit", text: "home.open", data: { action: "open" } });
    const about = make("span", { class: "switch-words" }, make("span", { class: "switch-name", text: "home.webinar", id: "home-webinar" }), make("span", { class: "hint switch-hint", text: "home.webinar.hint", id: "home-webinar-hint" }));
    const form = make(
      "form",
      { class: "card home-card", novalidate: true },
      make("label", { class: "form-label", for: "room", text: "home.room" }),
      make("div", { class: "home-row" }, this.#input, shuffle),
      make("label", { class: "switch-row" }, about, this.#webinar),
      make("p", { class: "hint" }, make("span", { text: "home.link" }), " ", this.#link),
      make("div", { class: "home-buttons" }, open, copyLinkButton(() => this.#roomLink, "button large")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      location.assign(this.#roomLink + this.#fragment);
    });
    this.#webinar.addEventListener("change", () => this.#show());
    this.#input.addEventListener("input", () => this.#typed());
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
    this.#fragment = "";
    this.#invented = inventRoomName().slice(0, MAX_ROOM_NAME);
    this.#input.value = this.#invented;
    this.#show();
  }

  get #roomLink() {
    return invitationLink(this.#room, this.#webinar.checked);
  }

  /** A name, or a link: that one says more than the name of its room. */
  #typed() {
    const { value } = this.#input;
    const [address, hash = ""] = value.split("#", 2);
    this.#fragment = /\/r\//.test(address) && readPass(hash) ? `#${hash.trim()}` : "";
    if (/\/r\/[^?]*\?(.*&)?webinar\b/.test(address)) this.#webinar.checked = true;
    this.#show();
  }

  #show() {
    this.#link.textContent = this.#roomLink;
  }
}

customElements.define("turnd-home", Home);
