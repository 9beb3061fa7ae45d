/** The card shown while nobody else has come: the link to this room, and the way to more. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { invitationLink } from "../../js/room-settings.js";
import { copyLinkButton } from "./copy-link.js";

/** @typedef {import("../../js/state.js").State} State */

/** @param {State} state */
export function linkOf({ room, broadcast }) {
  return invitationLink(room, broadcast);
}

class Invite extends View {
  #link = make("output", { class: "invite-link" });

  /** @override */
  build() {
    const words = make("div", { class: "invite-words" }, make("h2", { text: "invite.title" }), make("p", { text: "invite.text" }));
    const more = make("button", { class: "button", type: "button", data: { action: "invite" } }, icon("qr"), make("span", { text: "invite.more" }));
    more.addEventListener("click", () => this.dispatchEvent(new Event("openinvite", { bubbles: true })));
    const buttons = make("div", { class: "invite-buttons" }, copyLinkButton(() => linkOf(this.call.store.state), "button primary"), more);
    this.append(words, this.#link, buttons);
  }

  /** @override @param {State} state */
  update(state) {
    const waiting = state.moderation?.waiting.length ?? 0;
    this.hidden = state.participants.length + state.audience + waiting > 0 || state.reconnecting;
    const link = linkOf(state);
    if (this.#link.textContent !== link) this.#link.textContent = link;
  }
}

customElements.define("turnd-invite", Invite);
