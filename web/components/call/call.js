/** The whole page of a room: the way in, the call, the end of it. Holds the Call as `.call`. */

import { Call } from "../../js/call.js";
import { Store } from "../../js/state.js";
import { make } from "../../js/dom.js";
import { relayChoice } from "../../js/ice-servers.js";
import { socketUrl } from "../../js/room-name.js";
import { roomSettings } from "../../js/room-settings.js";
import { choices, preferences } from "../../js/preferences.js";
import { rememberedChoices } from "../../js/stage-choices.js";
import { Settings } from "../settings/settings.js";
import { ShortcutList } from "../shortcuts/shortcuts.js";
import { surround, windowTitle } from "./surroundings.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/entry.js").Entry} Entry */

/** What stands on the page before, during and after the call. */
const LASTING = ["turnd-password", "turnd-settings", "turnd-shortcuts"];

/** @param {string} room @param {URLSearchParams} query @param {Entry} [entry] */
export function makeCall(room, query, entry) {
  const { name, microphoneDevice, cameraDevice, speakerDevice } = preferences();
  const store = new Store({
    room,
    name: (query.get("name") ?? name).slice(0, 64).trim(),
    microphoneDevice,
    cameraDevice,
    speakerDevice,
    choices: choices(),
    ...rememberedChoices(),
  });
  const call = new Call({ store, url: socketUrl(room), relay: relayChoice(query), settings: roomSettings(query), entry });
  call.media.choice = { microphone: microphoneDevice, camera: cameraDevice };
  return call;
}

export class CallPage extends HTMLElement {
  /** @type {Call | null} */
  #call = null;
  #view = "";
  #announcer = make("p", { class: "off-screen", role: "status" });

  /** Null until the words are there. */
  get call() {
    return this.#call;
  }

  /** @param {Call} call */
  start(call) {
    this.#call = call;
    this.append(...LASTING.map((tag) => document.createElement(tag)), this.#announcer);
    surround(this, call, this.#announcer);
    call.store.subscribe((state) => this.#show(state));
    this.#show(call.store.state);
    for (const [event, tag] of [["opensettings", "turnd-settings"], ["openshortcuts", "turnd-shortcuts"]]) {
      this.addEventListener(event, () => {
        const dialog = this.querySelector(tag);
        if (dialog instanceof Settings || dialog instanceof ShortcutList) dialog.open();
      });
    }
    addEventListener("online", () => call.networkMayHaveChanged(true));
    const network = /** @type {(EventTarget & {type?: string}) | undefined} */ (Object(navigator).connection);
    let type = network?.type;
    network?.addEventListener("change", () => {
      // It also changes with the mood of the network; only another kind of network is another network.
      call.networkMayHaveChanged(network.type !== type);
      type = network.type;
    });
    document.addEventListener("visibilitychange", () => {
      call.chat.looking = !document.hidden;
      if (document.hidden) call.pageHidden();
      else call.pageShown();
    });
    // A closed page gives its seat up; one that comes back out of the browser's cache starts anew.
    addEventListener("pagehide", () => {
      call.pageHidden();
      call.signalling.leave();
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
  }

  /** @param {State} state */
  #show(state) {
    const { phase, self, reconnecting } = state;
    const view = phase === "joining" ? "lobby" : phase;
    document.title = windowTitle(state);
    this.dataset.self = self;
    this.toggleAttribute("data-reconnecting", reconnecting);
    if (view === this.#view) return;
    this.#view = view;
    this.dataset.phase = view;
    for (const child of [...this.children]) {
      if (!LASTING.includes(child.localName) && child !== this.#announcer) child.remove();
    }
    const part = (/** @type {string} */ tag) => document.createElement(tag);
    if (view === "lobby") this.append(part("turnd-lobby"));
    else if (view === "ended") this.append(part("turnd-ended"));
    else {
      const body = make("main", { class: "call-room" }, part("turnd-stage"), part("turnd-chat"), part("turnd-questions"), part("turnd-people"));
      const parts = ["turnd-header", "turnd-banner", "turnd-film", "turnd-admission", "turnd-invitation"].map(part);
      this.append(...parts, body, part("turnd-invite"), part("turnd-controls"), part("turnd-drop"), part("turnd-sound"), part("turnd-quality"), part("turnd-invite-dialog"), part("turnd-rules"));
    }
  }
}

customElements.define("turnd-call", CallPage);
