/**
 * What a page that shows a room in a frame may ask of it and is told, by postMessage (PROTOCOL.md, Embedding). Only origins that the
 * server's operator has named are listened to, and events go to the one that spoke, and to no other.
 */

import { LANGUAGES, useLanguage } from "./language.js";
import { onStage } from "./state.js";
import { isTheme, showTheme } from "./themes.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./state.js").State} State */
/** @typedef {{command: string, id?: number, [field: string]: unknown}} Command */
/** @typedef {{event: string, [field: string]: unknown}} EmbedEvent */

export const EMBED_VERSION = 1;
const MAX_NAME = 64;
const PANELS = /** @type {const} */ (["", "chat", "people", "questions"]);
/** So many at once, and so many a second. */
const BURST = 30;
const PER_SECOND = 10;

/** The origins that may speak to us: `*` is all. @param {string} list as the server writes it @param {string} origin */
export function mayEmbed(list, origin) {
  const allowed = list.split(" ").filter(Boolean);
  return origin !== "null" && (allowed.includes("*") || allowed.includes(origin));
}

/** Each command with what must be true of its fields. @type {Record<string, (fields: Record<string, unknown>) => boolean>} */
const COMMANDS = {
  hello: () => true,
  join: ({ name, microphone = false, camera = false }) => typeof name === "string" && name.trim().length > 0 && name.length <= MAX_NAME && typeof microphone === "boolean" && typeof camera === "boolean",
  leave: () => true,
  microphone: ({ on }) => typeof on === "boolean",
  camera: ({ on }) => typeof on === "boolean",
  panel: ({ panel }) => PANELS.some((each) => each === panel),
  language: ({ language }) => typeof language === "string" && Object.hasOwn(LANGUAGES, language),
  theme: ({ theme }) => isTheme(theme),
};

/** @param {unknown} data of a message @returns {Command | "malformed" | null} null: not for us */
export function readCommand(data) {
  if (typeof data !== "object" || data === null) return null;
  const { turnd, command, id, ...fields } = /** @type {Record<string, unknown>} */ (data);
  if (turnd !== EMBED_VERSION) return null;
  if (typeof command !== "string" || !Object.hasOwn(COMMANDS, command) || !COMMANDS[command](fields)) return "malformed";
  if (id !== undefined && !Number.isSafeInteger(id)) return "malformed";
  return { ...fields, command, ...(id === undefined ? {} : { id: Number(id) }) };
}

/** How many are in the room, ourselves too. @param {State} state */
function people(state) {
  return state.phase === "call" ? onStage(state).length + state.audience + (state.role === "viewer" ? 0 : 1) : 0;
}

/** @param {State} state */
function speakerOf({ speaker, self, name, participants }) {
  if (!speaker) return { name: "", self: false };
  return speaker === self ? { name, self: true } : { name: participants.find(({ id }) => id === speaker)?.name ?? "", self: false };
}

/** Everything that is told, as one value for each event. @param {State} state @returns {EmbedEvent[]} */
export function situation(state) {
  const { phase, ended, refused, problem, microphone, camera } = state;
  return [
    { event: "phase", phase, reason: phase === "ended" ? ended : "" },
    { event: "participants", count: people(state) },
    { event: "speaker", ...speakerOf(state) },
    { event: "microphone", on: microphone === "on" },
    { event: "camera", on: camera === "on" },
    ...(refused ? [{ event: "error", code: refused }] : []),
    ...(problem ? [{ event: "error", code: problem.reason, device: problem.what }] : []),
  ];
}

export class Embedding {
  /** @type {string | null} the origin of the page around us, once it has spoken */
  #origin = null;
  /** @type {Map<string, string>} what was told last, by event */
  #told = new Map();
  #tokens = BURST;
  #refilledAt = 0;

  /** @param {Call} call @param {{allowed: string, frame?: Window, now?: () => number}} options */
  constructor(call, { allowed, frame = window, now = () => performance.now() }) {
    this.call = call;
    this.allowed = allowed;
    this.frame = frame;
    this.now = now;
  }

  /** Begins to listen. Who may not speak to us learns no more than that a room is here. */
  start() {
    this.frame.addEventListener("message", (event) => this.#receive(event));
    this.call.store.subscribe(() => this.#tell());
    this.frame.parent.postMessage({ turnd: EMBED_VERSION, event: "ready" }, "*");
  }

  /** @param {MessageEvent} event */
  async #receive({ source, origin, data }) {
    if (source !== this.frame.parent || !mayEmbed(this.allowed, origin)) return;
    const command = readCommand(data);
    if (command === null) return;
    if (this.#origin !== null && this.#origin !== origin) this.#told.clear();
    this.#origin = origin;
    if (!this.#mayCome()) this.#post({ event: "error", code: "rate" });
    else if (command === "malformed") this.#post({ event: "error", code: "malformed" });
    else {
      await this.#obey(command);
      if (command.id !== undefined) this.#post({ event: "done", id: command.id });
    }
    this.#tell();
  }

  #mayCome() {
    const now = this.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#refilledAt) / 1000) * PER_SECOND);
    this.#refilledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** @param {Command} command */
  async #obey(command) {
    const { call } = this;
    switch (command.command) {
      case "hello":
        this.#told.clear();
        break;
      case "join":
        await this.#join(command);
        break;
      case "leave":
        if (call.store.state.phase !== "ended") call.leave();
        break;
      case "microphone":
      case "camera":
        await this.#switch(command.command, command.on === true);
        break;
      case "panel":
        if (call.store.state.phase === "call") call.showPanel(PANELS.find((panel) => panel === command.panel) ?? "");
        break;
      case "language":
        await useLanguage(String(command.language));
        break;
      case "theme":
        if (isTheme(command.theme)) showTheme(command.theme);
    }
  }

  /** @param {Command} command */
  async #join({ name, microphone = false, camera = false }) {
    const { call } = this;
    const { phase } = call.store.state;
    if (phase === "call" || phase === "joining") return;
    if (phase === "ended") call.store.set({ phase: "lobby", ended: "" });
    await this.#switch("microphone", microphone === true);
    await this.#switch("camera", camera === true);
    call.join({ name: String(name).trim() });
  }

  /** @param {"microphone" | "camera"} what @param {boolean} on */
  async #switch(what, on) {
    const { call } = this;
    if ((call.store.state[what] === "on") === on) return;
    await (what === "microphone" ? call.capture.toggleMicrophone() : call.capture.toggleCamera());
  }

  /** Whatever has changed since it was told last. */
  #tell() {
    if (this.#origin === null) return;
    const now = situation(this.call.store.state);
    if (!now.some(({ event }) => event === "error")) this.#told.delete("error");
    for (const event of now) {
      const written = JSON.stringify(event);
      if (this.#told.get(event.event) === written) continue;
      this.#told.set(event.event, written);
      this.#post(event);
    }
  }

  /** @param {EmbedEvent} event */
  #post(event) {
    if (this.#origin !== null) this.frame.parent.postMessage({ turnd: EMBED_VERSION, ...event }, this.#origin);
  }
}

/** Whether we stand in another page's frame. */
export function isFramed() {
  return window.parent !== window;
}
