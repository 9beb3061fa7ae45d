/** All ways to ask somebody in: the link, its QR code, the system's share sheet, a letter; and for hosts invitations that end. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { hostLink } from "../../js/entry.js";
import { closeButton } from "../rules/rules.js";
import { copyLinkButton } from "./copy-link.js";
import { linkOf } from "./invite.js";
import { Invitations } from "./invitations.js";

/** @typedef {import("../../js/state.js").State} State */

/** What who comes by the plain link will meet. @param {State} state @returns {string} key, or nothing */
function hintOf({ rules }) {
  if (rules.locked) return "invite.locked";
  if (rules.password) return rules.lobby ? "invite.password-lobby" : "invite.password";
  return rules.lobby ? "invite.lobby" : "";
}

class InviteDialog extends View {
  #dialog = make("dialog", { class: "dialog invite-dialog", "aria-labelledby": "invite-title", data: { dialog: "invite" } });
  #link = make("output", { class: "invite-link" });
  #hint = make("p", { class: "lobby-note" });
  #code = make("img", { class: "invite-code", alt: "", width: "200", height: "200", data: { shown: "qr" } });
  #mail = make("a", { class: "button", data: { action: "mail-link" } }, icon("mail"), make("span", { text: "invite.mail" }));
  #share = make("button", { class: "button", type: "button", data: { action: "share-link" } }, icon("share-sheet"), make("span", { text: "invite.share" }));
  #hosts = make("div", { class: "invite-hosts" });
  #invitations = new Invitations();
  #open = () => this.open();

  /** @override */
  build() {
    this.dataset.opens = "openinvite";
    const close = () => this.#dialog.close();
    const link = () => linkOf(this.call.store.state);
    this.#share.hidden = !("share" in navigator);
    this.#share.addEventListener("click", () => this.#shareSheet());
    this.#code.addEventListener("error", () => (this.#code.hidden = true));
    this.#code.addEventListener("load", () => (this.#code.hidden = false));
    this.#invitations.make = (seconds, label) => this.call.room.invite(seconds, label);
    this.#invitations.revoke = (id) => this.call.room.revoke(id);
    const ways = make("div", { class: "invite-ways" }, copyLinkButton(link, "button primary"), this.#share, this.#mail);
    const words = make("div", { class: "invite-main" }, make("p", { text: "invite.text" }), this.#link, this.#hint, ways);
    const host = make("section", { class: "rules-part" }, make("h3", { text: "invite.host" }), make("p", { class: "hint", text: "invite.host.hint" }));
    host.append(copyLinkButton(() => this.#hostLink(), "button", "invite.host.copy"));
    host.dataset.part = "host-link";
    this.#hosts.append(this.#invitations.element, host);
    this.#dialog.append(make("header", { class: "dialog-head" }, make("h2", { id: "invite-title", text: "invite" }), closeButton(close)), make("div", { class: "invite-columns" }, words, this.#code), this.#hosts);
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) close();
    });
    this.append(this.#dialog);
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.closest("turnd-call")?.addEventListener("openinvite", this.#open);
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    document.querySelector("turnd-call")?.removeEventListener("openinvite", this.#open);
  }

  open() {
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    this.update(this.call.store.state);
  }

  /** @override @param {State} state */
  update(state) {
    if (!this.#dialog.open) return;
    const link = linkOf(state);
    const code = `/qr.svg?text=${encodeURIComponent(link)}`;
    if (this.#link.textContent !== link) this.#link.textContent = link;
    if (this.#code.getAttribute("src") !== code) this.#code.src = code;
    this.#code.alt = t("invite.code");
    const hint = hintOf(state);
    this.#hint.hidden = hint === "";
    if (hint) setText(this.#hint, hint);
    const { room } = state;
    const letter = `mailto:?subject=${encodeURIComponent(t("invite.mail.subject", { room }))}&body=${encodeURIComponent(t("invite.mail.body", { link }))}`;
    if (this.#mail.getAttribute("href") !== letter) this.#mail.href = letter;
    const { moderation } = state;
    this.#hosts.hidden = state.role !== "host" || !moderation;
    if (moderation) this.#invitations.update(moderation.invitations, state);
  }

  #hostLink() {
    const { room, broadcast, moderation } = this.call.store.state;
    return hostLink(room, broadcast, moderation?.host_key ?? "");
  }

  async #shareSheet() {
    const { state } = this.call.store;
    try {
      await navigator.share({ title: state.room, text: t("invite.mail.subject", { room: state.room }), url: linkOf(state) });
    } catch (error) {
      // Closing the sheet is no failure.
      if (!(error instanceof DOMException && error.name === "AbortError")) console.warn("turnd:", error);
    }
  }
}

customElements.define("turnd-invite-dialog", InviteDialog);
