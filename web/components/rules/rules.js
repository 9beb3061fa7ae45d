/** For hosts: who comes in, what the others may do, who is kept out, and the end of the call for all. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { confirmed } from "../confirmation/confirmation.js";
import { RoomPassword } from "./room-password.js";
import { Switch } from "../switch/switch.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/protocol.js").Right} Right */
/** @typedef {import("../../js/protocol.js").Ban} Ban */

const RIGHTS = /** @type {const} */ (["unmute", "share", "chat", "files"]);

/** @param {() => void} close */
export function closeButton(close) {
  return make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-dialog" }, on: { click: close } }, icon("close"));
}

class Rules extends View {
  #dialog = make("dialog", { class: "dialog rules", "aria-labelledby": "rules-title", data: { dialog: "rules" } });
  #locked = new Switch("locked", { text: "rules.locked", hint: "rules.locked.hint" }, (locked) => this.call.room.changeRules({ locked }));
  #lobby = new Switch("lobby", { text: "rules.lobby", hint: "rules.lobby.hint" }, (lobby) => this.call.room.changeRules({ lobby }));
  #password = new RoomPassword((password) => this.call.changePassword(password));
  /** @type {[Right, Switch][]} */
  #rights = RIGHTS.map((right) => [right, new Switch(right, { text: `rules.right.${right}` }, (on) => this.call.room.changeRules({ rights: { [right]: on } }))]);
  #bansPart = make("section", { class: "rules-part", data: { list: "bans" } });
  #bans = make("ul", { class: "people-list" });
  /** @type {State["rules"] | null} */
  #seen = null;
  #bansSeen = "";
  #open = () => this.open();

  /** @override */
  build() {
    this.dataset.opens = "openrules";
    const close = () => this.#dialog.close();
    const part = (/** @type {string} */ title, /** @type {Node[]} */ ...children) => make("section", { class: "rules-part" }, make("h3", { text: title }), ...children);
    this.#bansPart.append(make("h3", { text: "rules.bans" }), make("p", { class: "hint", text: "rules.bans.hint" }), this.#bans);
    const end = make("button", { class: "button danger rules-end", type: "button", text: "rules.end", data: { action: "end-for-all" }, on: { click: () => this.#end() } });
    this.#dialog.append(
      make("header", { class: "dialog-head" }, make("h2", { id: "rules-title", text: "rules" }), closeButton(close)),
      part("rules.entry", this.#locked.element, this.#lobby.element, this.#password.element),
      part("rules.rights", make("p", { class: "hint", text: "rules.rights.hint" }), ...this.#rights.map(([, { element }]) => element)),
      this.#bansPart,
      make("section", { class: "rules-part" }, end),
    );
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) close();
    });
    this.append(this.#dialog);
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.closest("turnd-call")?.addEventListener("openrules", this.#open);
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    document.querySelector("turnd-call")?.removeEventListener("openrules", this.#open);
  }

  open() {
    if (this.call.store.state.role !== "host" || this.#dialog.open) return;
    this.#password.reset();
    this.#dialog.showModal();
    this.update(this.call.store.state);
  }

  /** @override @param {State} state */
  update(state) {
    if (!this.#dialog.open) return;
    if (state.role !== "host") this.#dialog.close();
    const { rules } = state;
    this.#locked.update(rules.locked);
    this.#lobby.update(rules.lobby);
    this.#password.update(rules.password, rules !== this.#seen);
    for (const [right, control] of this.#rights) control.update(rules.rights[right]);
    this.#seen = rules;
    this.#showBans(state.moderation?.bans ?? []);
  }

  /** @param {Ban[]} bans */
  #showBans(bans) {
    this.#bansPart.hidden = bans.length === 0;
    const key = JSON.stringify(bans);
    if (key === this.#bansSeen) return;
    this.#bansSeen = key;
    this.#bans.replaceChildren(...bans.map((ban) => this.#ban(ban)));
  }

  /** @param {Ban} ban */
  #ban({ id, name }) {
    const words = make("span", { class: "people-name" }, name);
    const lift = make("button", { class: "button small", type: "button", text: "rules.bans.lift", "aria-label": `${t("rules.bans.lift")}: ${name}`, data: { action: "lift-ban" } });
    lift.addEventListener("click", () => {
      lift.setAttribute("aria-busy", "true");
      this.call.room.liftBan(id);
    });
    return make("li", { class: "people-item" }, words, lift);
  }

  async #end() {
    if (await confirmed({ title: "rules.end.title", text: "rules.end.text", yes: "rules.end.yes" })) this.call.room.endForAll();
  }
}

customElements.define("turnd-rules", Rules);
