/**
 * The chat of one call: what came, what we wrote and have not seen come back yet. Nothing written is lost by a broken
 * connection, nothing is shown twice after it.
 */

import { SignallingError } from "./protocol.js";

/** @typedef {import("./protocol.js").ChatMessage} ChatMessage */
/** @typedef {import("./state.js").ShownMessage} ShownMessage */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */

export const MAX_SHOWN = 500;
export const MAX_TEXT = 4000;
const RETRY_MS = 2000;

/** @param {ChatMessage} message */
function keyOf(message) {
  return `${message.id}/${message.time}`;
}

export class ChatLog {
  #number = 0;
  /** Those the server confirmed or is asked to confirm now; the others go again after a break. */
  #underWay = new Set();

  /** @param {SignallingClient} signalling @param {Store} store */
  constructor(signalling, store) {
    this.signalling = signalling;
    this.store = store;
  }

  /** Shows the message at once, as pending, and sends it as soon as there is a connection. @param {string} text */
  write(text) {
    const { chat, self, name } = this.store.state;
    const id = `pending-${++this.#number}`;
    const message = { id, participant: self, name, text: text.slice(0, MAX_TEXT), time: Date.now() / 1000, pending: true };
    this.store.set({ chat: [...chat, message].slice(-MAX_SHOWN) });
    this.#send(message);
  }

  /** @param {ChatMessage} message */
  receive(message) {
    const { chat, self, panel, unread } = this.store.state;
    if (chat.some((each) => keyOf(each) === keyOf(message))) return;
    const own = message.participant === self;
    const shown = own ? withoutPending(chat, message) : chat;
    const pending = shown.filter((each) => each.pending);
    const settled = [...shown.filter((each) => !each.pending), message];
    this.store.set({
      chat: [...settled, ...pending].slice(-MAX_SHOWN),
      unread: own || panel === "chat" ? unread : unread + 1,
    });
  }

  /** In the room, with what the server remembers; a restarted server remembers nothing, but we do. @param {ChatMessage[]} history */
  joined(history) {
    const { chat, name, unread, panel } = this.store.state;
    const known = new Set(chat.map(keyOf));
    const news = history.filter((message) => !known.has(keyOf(message)));
    let shown = chat;
    let unseen = 0;
    for (const message of news) {
      const before = shown.length;
      if (message.name === name) shown = withoutPending(shown, message);
      if (shown.length === before && chat.length > 0) unseen += 1;
    }
    const pending = shown.filter((each) => each.pending);
    const settled = [...shown.filter((each) => !each.pending), ...news].sort((a, b) => a.time - b.time);
    this.store.set({ chat: [...settled, ...pending].slice(-MAX_SHOWN), unread: panel === "chat" ? 0 : unread + unseen });
    for (const message of pending) this.#send(message);
  }

  /** @param {ShownMessage} message */
  async #send(message) {
    if (this.#underWay.has(message.id)) return;
    this.#underWay.add(message.id);
    try {
      await this.signalling.request({ type: "chat", text: message.text });
      // The server may have cleaned the text, so that its copy was not recognised.
      const { chat } = this.store.state;
      if (chat.some(({ id }) => id === message.id)) this.store.set({ chat: chat.filter(({ id }) => id !== message.id) });
    } catch (error) {
      const code = error instanceof SignallingError ? error.code : "";
      if (code === "rate") setTimeout(() => this.#send(message), RETRY_MS);
    } finally {
      this.#underWay.delete(message.id);
    }
  }
}

/** Without the first of ours that this one confirms. @param {ShownMessage[]} chat @param {ChatMessage} confirmed */
function withoutPending(chat, confirmed) {
  const index = chat.findIndex((each) => each.pending && each.text === confirmed.text);
  return index < 0 ? chat : chat.filter((_, at) => at !== index);
}
