/** The line above the call: which room, its link, who is here. */

import { View } from "../../js/view.js";
import { assetUrl } from "../../js/asset.js";
import { make, write } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { headcount } from "../../js/state.js";

/** @typedef {import("../../js/state.js").State} State */

class Header extends View {
  #room = make("h1", { class: "header-room", dir: "ltr" });
  #locked = make("span", { class: "header-locked", role: "img", label: "rules.is-locked" }, icon("lock"));
  #count = make("span", { class: "header-count" });
  #people = make("button", { class: "button quiet header-people", type: "button", data: { action: "people" } });

  #news = make("span", { class: "header-news", "aria-hidden": "true" });
  #questions = make("button", { class: "button quiet header-questions", type: "button", data: { action: "questions" } });

  /** @override */
  build() {
    this.setAttribute("role", "banner");
    this.#questions.append(icon("question"), make("span", { class: "header-word", text: "questions" }), this.#news);
    this.#questions.addEventListener("click", () => {
      this.call.showPanel(this.call.store.state.panel === "questions" ? "" : "questions");
    });
    this.#people.append(icon("people"), make("span", { class: "header-word", text: "people" }), " ", this.#count);
    this.#people.addEventListener("click", () => {
      this.call.showPanel(this.call.store.state.panel === "people" ? "" : "people");
    });
    const mark = make("img", { class: "mark", src: assetUrl("styles/mark.svg"), alt: "", width: "28", height: "28" });
    const invite = make("button", { class: "button quiet header-invite", type: "button", data: { action: "invite" } }, icon("invite"), make("span", { text: "invite" }));
    invite.addEventListener("click", () => this.dispatchEvent(new Event("openinvite", { bubbles: true })));
    this.append(mark, this.#room, this.#locked, document.createElement("turnd-notice"), invite, document.createElement("turnd-view-switch"), this.#questions, this.#people);
  }

  /** @override @param {State} state */
  update(state) {
    const count = headcount(state);
    write(this.#room, state.room);
    this.#locked.hidden = !state.rules.locked;
    this.#locked.title = t("rules.is-locked");
    write(this.#count, String(count));
    this.#people.title = t("people.count", { count });
    this.#people.setAttribute("aria-expanded", String(state.panel === "people"));
    this.#questions.hidden = !state.broadcast;
    this.#questions.setAttribute("aria-expanded", String(state.panel === "questions"));
    this.#news.hidden = state.unseenQuestions === 0;
    const words = state.unseenQuestions ? t("questions.new", { count: state.unseenQuestions }) : t("questions");
    this.#questions.setAttribute("aria-label", words);
  }
}

customElements.define("turnd-header", Header);
