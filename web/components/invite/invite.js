/** The link to this room: a button that copies it, and the card shown while nobody else has come. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { invitationLink } from "../../js/room-settings.js";

/** @typedef {import("../../js/state.js").State} State */

const SAY_COPIED_MS = 2500;

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard outside https: the old way still works.
    const area = make("textarea", { class: "off-screen", readonly: true });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** @param {State} state */
export function linkOf({ room, broadcast }) {
  return invitationLink(room, broadcast);
}

/** @param {() => string} link @param {string} className */
export function copyLinkButton(link, className) {
  const symbol = icon("link");
  const words = make("span", { text: "link.copy", "aria-live": "polite" });
  const button = make("button", { class: className, type: "button", data: { action: "copy-link" } }, symbol, words);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  button.addEventListener("click", async () => {
    const done = await copy(link());
    draw(symbol, done ? "check" : "warning");
    setText(words, done ? "link.copied" : "link.not-copied");
    clearTimeout(timer);
    timer = setTimeout(() => {
      draw(symbol, "link");
      setText(words, "link.copy");
    }, SAY_COPIED_MS);
  });
  return button;
}

class Invite extends View {
  #link = make("output", { class: "invite-link" });

  /** @override */
  build() {
    const words = make("div", { class: "invite-words" }, make("h2", { text: "invite.title" }), make("p", { text: "invite.text" }));
    this.append(words, this.#link, copyLinkButton(() => linkOf(this.call.store.state), "button primary"));
  }

  /** @override @param {State} state */
  update(state) {
    this.hidden = state.participants.length > 0 || state.audience > 0 || state.reconnecting;
    const link = linkOf(state);
    if (this.#link.textContent !== link) this.#link.textContent = link;
  }
}

customElements.define("turnd-invite", Invite);
