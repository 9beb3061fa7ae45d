/** Who is here, and who can be heard and seen, who waits to come in, who watches; and what hosts can do with them. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { mayUse } from "../../js/state.js";
import { isMeant, peopleInOrder } from "../../js/people-order.js";
import { opensMenu } from "../menu/menu.js";
import { everybodyItems } from "./moderation.js";
import { PersonRow } from "./person-row.js";
import { WaitingList } from "./waiting-list.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/people-order.js").Person} Person */

/** A hall of a thousand is not read to its end. */
const MAX_VIEWERS_LISTED = 200;
/** Fewer are seen at a glance. */
const SEARCH_ABOVE = 12;

class People extends View {
  #waiting = new WaitingList();
  #hosts = make("div", { class: "people-hosts" });
  #search = make("input", { class: "field", type: "search", autocomplete: "off", spellcheck: "false", label: "people.search", placeholder: "people.search", data: { field: "people-search" } });
  #searching = make("div", { class: "people-search" }, icon("search"), this.#search);
  #list = make("ul", { class: "people-list" });
  #audience = make("h3", { class: "people-part" });
  #viewers = make("ul", { class: "people-list" });
  #more = make("p", { class: "hint people-more" });
  #nobody = make("p", { class: "hint people-more", text: "people.nobody" });
  /** @type {Map<string, PersonRow>} */
  #rows = new Map();

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-people" }, on: { click: () => this.call.showPanel("") } }, icon("close"));
    const all = make("button", { class: "button small", type: "button", data: { action: "everybody-menu" } }, make("span", { text: "people.everybody" }), icon("more"));
    opensMenu(all, () => everybodyItems(this.call), "people.everybody");
    const rules = make("button", { class: "button small", type: "button", text: "rules", data: { action: "rules" } });
    rules.addEventListener("click", () => this.dispatchEvent(new Event("openrules", { bubbles: true })));
    this.#hosts.append(all, rules);
    this.#search.addEventListener("input", () => this.update(this.call.store.state));
    this.#waiting.answer = (on, id) => this.call.room.admit(on, id);
    const scroll = make("div", { class: "people-scroll" }, this.#waiting.element, this.#searching, this.#list, this.#audience, this.#viewers, this.#more, this.#nobody);
    this.append(make("header", { class: "panel-head" }, make("h2", { text: "people" }), close), this.#hosts, scroll);
  }

  /** @override @param {State} state */
  update(state) {
    setLabel(this, "people");
    this.hidden = state.panel !== "people";
    if (this.hidden) return;
    this.#hosts.hidden = state.role !== "host";
    this.#waiting.update(state.moderation?.waiting ?? []);
    const { stage, audience } = peopleInOrder(state);
    const typed = this.#search.value;
    this.#searching.hidden = stage.length + audience.length <= SEARCH_ABOVE && !typed;
    const meant = (/** @type {Person[]} */ people) => (typed ? people.filter(({ name }) => isMeant(name, typed)) : people);
    const [speakers, listed] = [meant(stage), meant(audience)];
    const shown = listed.slice(0, MAX_VIEWERS_LISTED);
    this.#fill(this.#list, speakers, state);
    this.#fill(this.#viewers, shown, state);
    this.#showAudience(state, Math.max(state.audience, audience.length), listed.length - shown.length);
    this.#nobody.hidden = !typed || speakers.length + shown.length > 0;
    this.#forget(new Set([...speakers, ...shown].map(({ id }) => id)));
  }

  /** Only hosts are told who watches; everybody is told how many. @param {State} state @param {number} count @param {number} more not listed */
  #showAudience({ broadcast }, count, more) {
    this.#audience.hidden = !broadcast;
    this.#audience.textContent = t("people.watching", { count });
    this.#more.hidden = more <= 0;
    this.#more.textContent = t("people.more", { count: more });
  }

  /** Rows move only where the order changed: one that stays keeps its focus. @param {HTMLElement} list @param {Person[]} people @param {State} state */
  #fill(list, people, state) {
    people.forEach((person, index) => {
      let row = this.#rows.get(person.id);
      if (!row) this.#rows.set(person.id, (row = new PersonRow(this.call)));
      row.update(person, state);
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
    });
    while (list.children.length > people.length) list.lastElementChild?.remove();
    list.classList.toggle("has-buttons", state.role === "host" || mayUse(state, "chat"));
  }

  /** @param {Set<string>} present */
  #forget(present) {
    for (const id of this.#rows.keys()) if (!present.has(id)) this.#rows.delete(id);
  }
}

customElements.define("turnd-people", People);
