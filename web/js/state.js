/**
 * The one place that says how the call stands. The call writes it, the views are drawn from it; nothing else is kept
 * anywhere about what is on the screen.
 */

import { DEFAULT_CHOICES } from "./preferences.js";

/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./protocol.js").ChatMessage} ChatMessage */
/** @typedef {import("./protocol.js").Role} Role */
/** @typedef {{estimate_kbps: number, streams: import("./protocol.js").ReceivedStream[]}} Received */
/** @typedef {"off" | "starting" | "on"} Capture */
/**
 * @typedef {ChatMessage & {own?: boolean, receiver?: string, pending?: boolean, failed?: string, gone?: boolean}} ShownMessage
 *   `receiver`: name of whom it is for alone; `failed`: why it was not taken; `gone`: its file can no longer be had
 * @typedef {{id: string, file: File}} Attachment chosen and not yet sent
 * @typedef {"queued" | "sending" | "waiting" | "failed"} UploadPhase
 * @typedef {{id: string, name: string, bytes: number, sent: number, phase: UploadPhase, reason: string, to: string, receiver: string}} Upload
 */
/** @typedef {"" | "chat" | "people" | "questions"} Panel what stands beside the stage */

/**
 * A capture that failed: what was asked for, and the name of the DOMException (`insecure` where browsers refuse outright).
 * @typedef {{what: "microphone" | "camera" | "both" | "screen", reason: string}} CaptureProblem
 *
 * @typedef {{key: string, values?: Record<string, string | number>}} Notice
 *
 * @typedef {object} State
 * @property {"lobby" | "joining" | "call" | "ended"} phase
 * @property {string} room
 * @property {string} name
 * @property {string} ended why it ended: `left`, `replaced`, `removed`, `banned`, or `ended` for everybody
 * @property {boolean} endedAlone nobody else was there when it ended
 * @property {string} refused code of the error that kept us out; empty if none
 * @property {boolean} passwordTried
 * @property {string} self our participant id
 * @property {Participant[]} participants the others
 * @property {boolean} broadcast a webinar: some speak, the others watch
 * @property {Role} role ours
 * @property {boolean} invited brought to the stage and not yet said how
 * @property {number} audience how many only watch
 * @property {import("./protocol.js").Rules} rules of the room
 * @property {import("./protocol.js").ModerationState | null} moderation what hosts alone know; null: we are none
 * @property {{host: boolean} | null} waiting for a host to let us in, who is there or not
 * @property {import("./protocol.js").Question[]} questions to the stage
 * @property {number} hand ours: 0 down, otherwise the smaller the longer it is up
 * @property {import("./seating.js").ViewMode} view everybody of one size, or who speaks large
 * @property {boolean} screensAside shared screens are tiles among the others
 * @property {string} pinned key of the tile that stands large whoever speaks; empty: none
 * @property {number} page of the tiles, from 0
 * @property {import("./seating.js").SelfView} selfView where our own picture is
 * @property {import("./layout.js").Corner} selfCorner where it floats
 * @property {{name: string} | null} film a file of ours that we play to everybody
 * @property {Received} received how the pictures of others arrive, as the server sees it
 * @property {number} tracks rises when the tracks or slots of others changed
 * @property {string | null} speaker
 * @property {ShownMessage[]} chat
 * @property {number} unread
 * @property {string} chatTo id of whom we write to alone; empty: to everybody
 * @property {Attachment[]} attachments
 * @property {Upload[]} uploads our files on their way
 * @property {number} fileLimit bytes that a file may have; 0: no files here
 * @property {number} unseenQuestions
 * @property {Panel} panel
 * @property {boolean} online the signalling socket stands
 * @property {boolean} mediaHealthy
 * @property {boolean} reconnecting broken for long enough to say so
 * @property {boolean} crowded who wants in waits because others of the same address do; it is tried again by itself
 * @property {boolean} stuck media has not come through for long although the server answers: the network may forbid it
 * @property {boolean} soundBlocked the browser wants a press before it plays sound
 * @property {Capture} microphone
 * @property {Capture} camera
 * @property {Capture} screen
 * @property {import("./local-media.js").ScreenHint} screenHint
 * @property {CaptureProblem | null} problem
 * @property {Notice | null} notice a few words that go away by themselves
 * @property {MediaDeviceInfo[]} devices
 * @property {string} microphoneDevice
 * @property {string} cameraDevice
 * @property {string} speakerDevice
 * @property {import("./preferences.js").Choices} choices how we like a call to be
 * @property {boolean} speakingMuted we seem to speak although the microphone is off
 */

/** @returns {State} */
export function initialState() {
  return {
    phase: "lobby",
    room: "",
    name: "",
    ended: "",
    endedAlone: false,
    refused: "",
    passwordTried: false,
    self: "",
    participants: [],
    broadcast: false,
    role: "host",
    invited: false,
    audience: 0,
    rules: { locked: false, lobby: false, password: false, rights: { chat: true, share: true, unmute: true, files: true } },
    moderation: null,
    waiting: null,
    questions: [],
    hand: 0,
    view: "grid",
    screensAside: false,
    pinned: "",
    page: 0,
    selfView: "",
    selfCorner: "bottom-end",
    film: null,
    received: { estimate_kbps: 0, streams: [] },
    tracks: 0,
    speaker: null,
    chat: [],
    unread: 0,
    chatTo: "",
    attachments: [],
    uploads: [],
    fileLimit: 0,
    unseenQuestions: 0,
    panel: "",
    online: false,
    mediaHealthy: true,
    reconnecting: false,
    crowded: false,
    stuck: false,
    soundBlocked: false,
    microphone: "off",
    camera: "off",
    screen: "off",
    screenHint: "text",
    problem: null,
    notice: null,
    devices: [],
    microphoneDevice: "",
    cameraDevice: "",
    speakerDevice: "",
    choices: { ...DEFAULT_CHOICES },
    speakingMuted: false,
  };
}

/** Those who can be seen and heard: in a webinar the viewers cannot. @param {State} state */
export function onStage({ participants }) {
  return participants.filter(({ role }) => role !== "viewer");
}

/** All who are in the room, who only watch and we ourselves among them. @param {State} state */
export function headcount(state) {
  // The audience counts ourselves when we only watch.
  return onStage(state).length + state.audience + (state.role === "viewer" ? 0 : 1);
}

/** Whether we may send: not a viewer, and not one who was asked up and has not answered. @param {State} state */
export function maySend({ role, invited }) {
  return role !== "viewer" && !invited;
}

/** Whether we may do that in this room: hosts may all. @param {State} state @param {import("./protocol.js").Right} right */
export function mayUse({ role, rules }, right) {
  return role === "host" || rules.rights[right];
}

/** Whether we may send files: viewers may not, nor anybody where the server takes none. @param {State} state */
export function maySendFiles(state) {
  return state.fileLimit > 0 && state.role !== "viewer" && mayUse(state, "files");
}

export class Store {
  /** @type {State} */
  #state;
  /** @type {Set<(state: State) => void>} */
  #listeners = new Set();
  #scheduled = false;

  /** @param {Partial<State>} [start] */
  constructor(start = {}) {
    this.#state = { ...initialState(), ...start };
  }

  get state() {
    return this.#state;
  }

  /** @param {Partial<State>} change */
  set(change) {
    this.#state = { ...this.#state, ...change };
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Several changes of one event are drawn once, still within the same task.
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) listener(this.#state);
    });
  }

  /** @param {(state: State) => void} listener @returns {() => void} what stops it */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
