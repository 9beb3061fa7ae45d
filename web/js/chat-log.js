/**
 * The chat of one call: what came, what we wrote and have not seen come back yet. Nothing written is lost by a broken
 * connection or a restarted server, nothing is shown twice after it, and what was meant for one goes to nobody else.
 */

import { SignallingError } from "./protocol.js";

/** @typedef {import("./protocol.js").ChatMessage} ChatMessage */
/** @typedef {import("./state.js").ShownMessage} ShownMessage */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */

export const MAX_SHOWN = 500;
export const MAX_TEXT = 4000;
const RETRY_MS = 2000;
/** After a restart of the server all come back to their seats, not all at once: who is unknown then may only be late. */
const LATE_MS = 10_000;

/** @param {ChatMessage} message */
function keyOf(message) {
  return `${message.id}/${message.time}`;
}

/** Not yet taken by the server: these stay below all that is. @param {ShownMessage} message */
function isUnsettled(message) {
  return message.pending || message.failed !== undefined;
}

/** Whom we can write to alone. In a webinar viewers are not shown to all, but who wrote to us can be answered. @param {State} state */
export function receivers({ participants, broadcast, chat, self }) {
  const names = new Map(participants.map(({ id, name }) => [id, name]));
  for (const { participant, name, to, own } of broadcast ? chat : []) {
    if (to === self && !own && !names.has(participant)) names.set(participant, name);
  }
  return [...names].map(([id, name]) => ({ id, name })).sort((a, b) => a.name.localeCompare(b.name));
}

export class ChatLog {
  #number = 0;
  /** Those the server confirmed or is asked to confirm now; the others go again after a break. */
  #underWay = new Set();
  /** Our participant ids: a restarted server gives a new one, and what we wrote before stays ours. */
  #selves = new Set();
  /** Names by id, of all that were ever seen. @type {Map<string, string>} */
  #names = new Map();

  #backAt = -Infinity;
  /** Whether the page is seen: what arrives behind another tab is unread. */
  looking = true;

  /** @param {SignallingClient} signalling @param {Store} store */
  constructor(signalling, store) {
    this.signalling = signalling;
    this.store = store;
  }

  /** Opens the chat with this person as the receiver. @param {string} participant */
  address(participant) {
    this.store.set({ panel: "chat", unread: 0, chatTo: participant });
  }

  /** @param {string} participant @returns {string} empty when they were never seen */
  nameOf(participant) {
    for (const { id, name } of this.store.state.participants) this.#names.set(id, name);
    return this.#names.get(participant) ?? "";
  }

  /** Shows the message at once, as pending, and sends it as soon as there is a connection. @param {string} text @param {string} [to] */
  write(text, to = this.store.state.chatTo) {
    const { chat, self, name } = this.store.state;
    const id = `pending-${++this.#number}`;
    // The server counts code points, and half a character is none.
    const clipped = [...text].slice(0, MAX_TEXT).join("");
    /** @type {ShownMessage} */
    const message = { id, participant: self, name, text: clipped, time: Date.now() / 1000, own: true, pending: true };
    if (to) Object.assign(message, { to, receiver: this.nameOf(to) });
    this.store.set({ chat: [...chat, message].slice(-MAX_SHOWN) });
    this.#send(message);
  }

  /** Sends what failed once more. @param {ChatMessage["id"]} id */
  again(id) {
    const failed = this.store.state.chat.find((each) => each.id === id && each.failed !== undefined);
    if (!failed) return;
    const message = { ...failed, failed: undefined, pending: true };
    this.#replace(message);
    this.#send(message);
  }

  /** Takes what failed away. @param {ChatMessage["id"]} id */
  discard(id) {
    this.store.set({ chat: this.store.state.chat.filter((each) => each.id !== id) });
  }

  /** @param {ChatMessage} message */
  receive(message) {
    const { chat, unread } = this.store.state;
    if (chat.some((each) => keyOf(each) === keyOf(message))) return;
    const news = this.#shown(message);
    const shown = news.own ? withoutPending(chat, news) : chat;
    this.#show([...shown.filter((each) => !isUnsettled(each)), news], shown.filter(isUnsettled));
    this.store.set({ unread: news.own || this.#isSeen() ? unread : unread + 1 });
  }

  /** A file can no longer be had. @param {string} file */
  fileGone(file) {
    const { chat } = this.store.state;
    this.store.set({ chat: chat.map((each) => (each.file?.id === file ? { ...each, gone: true } : each)) });
  }

  /** In the room, with what the server remembers; it may have forgotten what we remember. @param {ChatMessage[]} history */
  joined(history) {
    const { self, unread } = this.store.state;
    const first = this.#selves.size === 0;
    if (!first) this.#backAt = Date.now();
    this.#selves.add(self);
    const remembered = new Map(history.map((message) => [keyOf(message), message]));
    let shown = this.store.state.chat.map((each) => corrected(each, remembered.get(keyOf(each))));
    const known = new Set(shown.map(keyOf));
    const news = history.filter((message) => !known.has(keyOf(message))).map((message) => this.#shown(message));
    for (const message of news) if (message.own) shown = withoutPending(shown, message);
    const settled = [...shown.filter((each) => !isUnsettled(each)), ...news].sort((a, b) => a.time - b.time);
    this.#show(settled, shown.filter(isUnsettled));
    const unseen = first || this.#isSeen() ? 0 : news.filter(({ own }) => !own).length;
    this.store.set({ unread: this.#isSeen() ? 0 : unread + unseen });
    for (const message of shown) if (message.pending) this.#send(message);
  }

  #isSeen() {
    return this.store.state.panel === "chat" && this.looking;
  }

  /** With what we alone know of it. @param {ChatMessage} message @returns {ShownMessage} */
  #shown(message) {
    this.#names.set(message.participant, message.name);
    const own = message.participant === this.store.state.self || this.#selves.has(message.participant);
    return message.to ? { ...message, own, receiver: this.nameOf(message.to) } : { ...message, own };
  }

  /** @param {ShownMessage[]} settled @param {ShownMessage[]} unsettled */
  #show(settled, unsettled) {
    this.store.set({ chat: [...settled, ...unsettled].slice(-MAX_SHOWN) });
  }

  /** @param {ShownMessage} message */
  #replace(message) {
    this.store.set({ chat: this.store.state.chat.map((each) => (each.id === message.id ? message : each)) });
  }

  /** @param {ShownMessage} message */
  async #send(message) {
    const waits = this.store.state.chat.some(({ id, pending }) => id === message.id && pending);
    if (!waits || this.#underWay.has(message.id)) return;
    this.#underWay.add(message.id);
    try {
      await this.signalling.request({ type: "chat", text: message.text, to: message.to });
      // The server may have cleaned the text, so that its copy was not recognised.
      if (this.store.state.chat.some(({ id }) => id === message.id)) this.discard(message.id);
    } catch (error) {
      if (!(error instanceof SignallingError)) throw error;
      this.#refused(message, error.code);
    } finally {
      this.#underWay.delete(message.id);
    }
  }

  /** @param {ShownMessage} message @param {string} code */
  #refused(message, code) {
    const late = code === "unknown" && Date.now() - this.#backAt < LATE_MS;
    if (code === "rate" || late) setTimeout(() => this.#send(message), RETRY_MS);
    // After a break it goes again by itself; the history tells whether it had arrived.
    else if (code !== "disconnected") {
      this.#replace({ ...message, pending: undefined, failed: code });
    }
  }
}

/** What the server now says of a line that we have: its file may be gone. @param {ShownMessage} ours @param {ChatMessage} [theirs] */
function corrected(ours, theirs) {
  if (!theirs || ours.file?.expires === theirs.file?.expires) return ours;
  return theirs.file ? { ...ours, file: theirs.file } : { ...ours, gone: true };
}

/** Without the first of ours that this one confirms. @param {ShownMessage[]} chat @param {ChatMessage} confirmed */
function withoutPending(chat, confirmed) {
  const index = chat.findIndex((each) => isUnsettled(each) && each.text === confirmed.text && each.to === confirmed.to);
  return index < 0 ? chat : chat.filter((_, at) => at !== index);
}
