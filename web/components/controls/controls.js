/** The bar below the call: always visible, every button with its word. */

import { View } from "../../js/view.js";
import { make, setLabel, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { LocalMedia } from "../../js/local-media.js";
import { maySend } from "../../js/state.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/icons.js").IconName} IconName */

/** @param {string} action @param {IconName} name @param {string} word @param {() => void} press */
export function controlButton(action, name, word, press) {
  const symbol = icon(name);
  const words = make("span", { class: "control-word", text: word });
  const button = make("button", { class: `control control-${action}`, type: "button", data: { action }, on: { click: press } });
  button.append(symbol, words);
  return { button, symbol, words };
}

class Controls extends View {
  #microphone = controlButton("microphone", "microphone", "controls.microphone", () => this.call.toggleMicrophone());
  #camera = controlButton("camera", "camera", "controls.camera", () => this.call.toggleCamera());
  #share = controlButton("share", "screen", "controls.share", () => this.call.toggleScreen());
  #chat = controlButton("chat", "chat", "controls.chat", () => this.#toggleChat());
  #settings = controlButton("settings", "settings", "controls.settings", () => this.#openSettings());
  #leave = controlButton("leave", "leave", "controls.leave", () => this.call.leave());
  #unread = make("span", { class: "badge", hidden: true });

  /** @override */
  build() {
    this.setAttribute("role", "group");
    this.#chat.button.append(this.#unread);
    for (const each of [this.#microphone, this.#camera, this.#share, this.#chat, this.#settings, this.#leave]) {
      this.append(each.button);
    }
    setLabel(this.#settings.button, "controls.settings");
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
    this.#chat.button.setAttribute("aria-expanded", String(state.panel === "chat"));
    this.#chat.button.setAttribute("aria-label", state.unread ? t("chat.unread", { count: state.unread }) : t("controls.chat"));
    this.#unread.hidden = state.unread === 0;
    this.#unread.textContent = state.unread > 99 ? "99+" : String(state.unread);
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

  #openSettings() {
    this.dispatchEvent(new Event("opensettings", { bubbles: true }));
  }
}

customElements.define("turnd-controls", Controls);
