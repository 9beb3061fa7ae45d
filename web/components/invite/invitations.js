/** For hosts: links that let somebody in without password or waiting, and end by themselves. */

import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { passLink } from "../../js/entry.js";
import { copyLinkButton } from "./copy-link.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/protocol.js").Invitation} Invitation */

const MAX_LABEL = 64;
const SPANS = /** @type {const} */ ({ hour: 3600, day: 86_400, week: 604_800 });

/** The end of it as people say it: today the hour, later the day too. @param {number} expires seconds since 1970 @param {Date} now @param {string} language */
export function endOf(expires, now, language) {
  const end = new Date(expires * 1000);
  const today = end.toDateString() === now.toDateString();
  return new Intl.DateTimeFormat(language, today ? { timeStyle: "short" } : { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }).format(end);
}

export class Invitations {
  /** @type {(seconds: number, label?: string) => Promise<Invitation | null>} */
  make = async () => null;
  /** @type {(id: string) => void} */
  revoke = () => {};
  #span = make("select", { class: "field", id: "invitation-span", data: { field: "invitation-span" } });
  #label = make("input", { class: "field", id: "invitation-label", autocomplete: "off", maxlength: String(MAX_LABEL), data: { field: "invitation-label" } });
  #button = make("button", { class: "button", type: "submit", text: "invitations.make", data: { action: "make-invitation" } });
  #list = make("ul", { class: "people-list" });
  #seen = "";

  constructor() {
    for (const span of /** @type {(keyof typeof SPANS)[]} */ (Object.keys(SPANS))) this.#span.append(make("option", { value: String(SPANS[span]), text: `invitations.${span}` }));
    this.#span.value = String(SPANS.day);
    const span = make("label", { class: "form-row" }, make("span", { class: "form-label", text: "invitations.span" }), this.#span);
    const label = make("label", { class: "form-row" }, make("span", { class: "form-label", text: "invitations.label" }), this.#label);
    const form = make("form", { class: "invitation-form" }, span, label, this.#button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
    this.element = make("section", { class: "rules-part", data: { list: "invitations" } }, make("h3", { text: "invitations" }), make("p", { class: "hint", text: "invitations.hint" }), form, this.#list);
  }

  /** @param {Invitation[]} invitations @param {State} state */
  update(invitations, state) {
    const good = invitations.filter(({ expires }) => expires * 1000 > Date.now());
    const key = JSON.stringify([good, currentLanguage()]);
    if (key === this.#seen) return;
    this.#seen = key;
    this.#list.replaceChildren(...good.map((invitation) => this.#row(invitation, state)));
  }

  async #make() {
    this.#button.disabled = true;
    this.#button.setAttribute("aria-busy", "true");
    const made = await this.make(Number(this.#span.value), this.#label.value.trim() || undefined);
    this.#button.disabled = false;
    this.#button.setAttribute("aria-busy", "false");
    if (!made) return;
    this.#label.value = "";
    /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-invitation="${CSS.escape(made.id)}"] button`))?.focus();
  }

  /** @param {Invitation} invitation @param {State} state */
  #row({ id, token, label, expires }, { room, broadcast }) {
    const name = make("span", { class: "people-name" }, label || t("invitations.unnamed"));
    const until = make("span", { class: "people-about" }, t("invitations.until", { time: endOf(expires, new Date(), currentLanguage()) }));
    const copy = copyLinkButton(() => passLink(room, broadcast, token), "button small");
    const revoke = make("button", { class: "button small quiet", type: "button", text: "invitations.revoke", data: { action: "revoke" } });
    revoke.setAttribute("aria-label", `${t("invitations.revoke")}: ${label || t("invitations.unnamed")}`);
    revoke.addEventListener("click", () => {
      revoke.setAttribute("aria-busy", "true");
      this.revoke(id);
    });
    return make("li", { class: "people-item invitation-item", data: { invitation: id } }, icon("mail"), make("span", { class: "people-words" }, name, until), copy, revoke);
  }
}
