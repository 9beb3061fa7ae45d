/** The bar below the call: always visible, every button with its word. What finds no place in it is in the menu More. */

import { View } from "../../js/view.js";
import { make, setLabel, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { LocalMedia } from "../../js/local-media.js";
import { maySend, mayUse } from "../../js/state.js";
import { keyOf } from "../../js/shortcuts.js";
import { opensMenu } from "../menu/menu.js";
import { moreItems, reactionItems } from "./more.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/icons.js").IconName} IconName */

/** A press that the server does not answer is over after that. */
const ANSWER_MS = 3000;

/** @param {string} action @param {IconName} name @param {string} word @param {() => void} [press] */
export function controlButton(action, name, word, press) {
  const symbol = icon(name);
  const words = make("span", { class: "control-word", text: word });
  const button = make("button", { class: `control control-${action}`, type: "button", data: { action }, on: press && { click: press } });
  button.append(symbol, words);
  return { button, symbol, words };
}

class Controls extends View {
  #microphone = controlButton("microphone", "microphone", "controls.microphone", () => this.#press("microphone", () => this.call.capture.toggleMicrophone()));
  #camera = controlButton("camera", "camera", "controls.camera", () => this.call.capture.toggleCamera());
  #share = controlButton("share", "screen", "controls.share", () => this.share());
  #hand = controlButton("hand", "hand", "controls.hand", () => this.raiseHand());
  #react = controlButton("react", "react", "controls.react");
  #chat = controlButton("chat", "chat", "controls.chat", () => this.#toggleChat());
  #more = controlButton("more", "dots", "controls.more");
  #leave = controlButton("leave", "leave", "controls.leave", () => this.call.leave());
  #unread = make("span", { class: "badge", hidden: true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #handTimer;
  #handShown = 0;

  /** @override */
  build() {
    this.setAttribute("role", "region");
    this.#chat.button.append(this.#unread);
    // Its key works where the bar has no room for it as well.
    opensMenu(this.#react.button, () => reactionItems(this), "controls.react", () => (this.inBar("react") ? this.#react : this.#more).button);
    opensMenu(this.#more.button, () => moreItems(this), "controls.more");
    for (const each of [this.#microphone, this.#camera, this.#share, this.#hand, this.#react, this.#chat, this.#more, this.#leave]) {
      this.append(each.button);
    }
    setLabel(this.#leave.button, "controls.leave-call");
  }

  /** @override @param {State} state */
  update(state) {
    this.setAttribute("aria-label", t("controls"));
    const sending = maySend(state);
    this.#microphone.button.hidden = this.#camera.button.hidden = !sending;
    this.#share.button.hidden = !sending || !LocalMedia.canShareScreen;
    this.#showCapture(this.#microphone, state.microphone, "microphone");
    this.#showCapture(this.#camera, state.camera, "camera");
    this.#share.button.setAttribute("aria-pressed", String(state.screen === "on"));
    this.#share.button.setAttribute("aria-busy", String(state.screen === "starting"));
    setLabel(this.#share.button, state.screen === "on" ? "share.stop" : "share.start");
    this.#showHand(state);
    this.#chat.button.setAttribute("aria-expanded", String(state.panel === "chat"));
    this.#chat.button.setAttribute("aria-label", state.unread ? t("chat.unread", { count: state.unread }) : t("controls.chat"));
    this.#unread.hidden = state.unread === 0;
    this.#unread.dataset.count = state.unread > 99 ? "99+" : String(state.unread);
    const held = state.choices.pushToTalk && state.microphone === "off" ? "choice.pushToTalk.hint" : "";
    this.#explain(this.#microphone.button, state, this.refusal("microphone"), held);
    this.#explain(this.#share.button, state, this.refusal("share"));
    for (const { button } of [this.#camera, this.#hand, this.#react, this.#chat]) this.#explain(button, state);
  }

  /** Why this cannot be turned on now: a key of words, or nothing. @param {"microphone" | "share"} what */
  refusal(what) {
    const { state } = this.call.store;
    if (what === "microphone") return state.microphone === "off" && !mayUse(state, "unmute") ? "not-allowed.mute" : "";
    return state.screen === "off" && !mayUse(state, "share") ? "not-allowed.stop-share" : "";
  }

  share() {
    this.#press("share", () => this.call.capture.toggleScreen());
  }

  /** Whether this button of the bar finds room in it. @param {"share" | "react"} what */
  inBar(what) {
    const { button } = what === "share" ? this.#share : this.#react;
    return button.hidden || getComputedStyle(button).display !== "none";
  }

  raiseHand() {
    const { button } = this.#hand;
    button.setAttribute("aria-busy", "true");
    clearTimeout(this.#handTimer);
    this.#handTimer = setTimeout(() => button.setAttribute("aria-busy", "false"), ANSWER_MS);
    this.call.room.raiseHand(this.call.store.state.hand === 0);
  }

  /** @param {string} event that somebody on the page answers by opening something */
  open(event) {
    this.dispatchEvent(new Event(event, { bubbles: true }));
  }

  /** @param {"microphone" | "share"} what @param {() => void} act */
  #press(what, act) {
    const refusal = this.refusal(what);
    if (refusal) this.call.notify(refusal);
    else act();
  }

  /**
   * What a button does and by which key. One that is refused is shown, can be reached, and says why.
   * @param {HTMLButtonElement} button @param {State} state @param {string} [refusal] key of words @param {string} [hint] key of words
   */
  #explain(button, { choices }, refusal = "", hint = "") {
    const words = refusal || hint ? t(refusal || hint) : "";
    const key = choices.shortcuts ? keyOf(button.dataset.action ?? "") : "";
    const name = button.getAttribute("aria-label") || t("controls.react");
    const title = words || (key ? `${name} (${key})` : name);
    if (button.title !== title) button.title = title;
    button.setAttribute("aria-disabled", String(refusal !== ""));
    button.setAttribute("aria-description", words);
    if (key) button.setAttribute("aria-keyshortcuts", key);
    else button.removeAttribute("aria-keyshortcuts");
  }

  /** @param {State} state */
  #showHand({ hand }) {
    const { button, words } = this.#hand;
    if (hand !== this.#handShown) {
      this.#handShown = hand;
      clearTimeout(this.#handTimer);
      button.setAttribute("aria-busy", "false");
    }
    button.setAttribute("aria-pressed", String(hand > 0));
    setLabel(button, hand > 0 ? "hand.lower" : "hand.raise");
    setText(words, "controls.hand");
  }

  /** @param {ReturnType<typeof controlButton>} control @param {State["microphone"]} capture @param {"microphone" | "camera"} what */
  #showCapture({ button, symbol, words }, capture, what) {
    button.setAttribute("aria-pressed", String(capture === "on"));
    button.setAttribute("aria-busy", String(capture === "starting"));
    button.classList.toggle("is-off", capture === "off");
    draw(symbol, capture === "off" ? /** @type {IconName} */ (`${what}-off`) : what);
    setLabel(button, capture === "on" ? `${what}.turn-off` : `${what}.turn-on`);
    setText(words, `controls.${what}`);
  }

  #toggleChat() {
    this.call.showPanel(this.call.store.state.panel === "chat" ? "" : "chat");
  }
}

customElements.define("turnd-controls", Controls);
