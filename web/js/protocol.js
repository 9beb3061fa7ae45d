/**
 * The client side of the turnd signalling protocol (PROTOCOL.md), version 1: one WebSocket that joins a room,
 * keeps itself alive, and comes back with its resume token when it breaks. No DOM: it runs wherever there is a
 * WebSocket and an EventTarget. It owns the socket, the token and the requests under way; nothing else.
 */

export const PROTOCOL_VERSION = 1;

/** Waiting before the next attempt, by how many failed before; the last one repeats. */
const RETRY_DELAYS_MS = [300, 500, 900, 1500, 2200, 3000];
/** From opening the socket to `joined`. A packet-eating network must not hold an attempt for a minute. */
const ATTEMPT_TIMEOUTS_MS = [4000, 4000, 6000];
/** Who waits in vain for this answer opens another socket at once: one too many costs little, media that is dead costs a call. */
const PROBE_TIMEOUT_MS = 600;
const REQUEST_TIMEOUT_MS = 10000;
const WATCH_INTERVAL_MS = 500;
const MAX_REQUESTS = 64;
const DEFAULT_HEARTBEAT = { interval_ms: 5000, timeout_ms: 12000 };

/**
 * @typedef {"microphone" | "camera" | "screen" | "screen-audio"} Source
 * @typedef {"host" | "speaker" | "viewer"} Role
 * @typedef {"vp8" | "vp9" | "av1" | "h264"} VideoCodec
 * @typedef {{mode: "meeting" | "broadcast", video: VideoCodec, uplink_kbps: number}} RoomSettings
 * @typedef {{id: string, name: string, microphone: boolean, camera: boolean, screen: boolean, connected: boolean, role?: Role, hand?: number}} Participant
 *   `hand`: 0 is down; otherwise the smaller the longer it is up
 * @typedef {{id: string, name: string, bytes: number, expires: number}} SharedFile
 * @typedef {{id: string | number, participant: string, name: string, text: string, time: number, to?: string, file?: SharedFile}} ChatMessage
 * @typedef {"chat" | "share" | "unmute" | "files"} Right
 * @typedef {{locked: boolean, lobby: boolean, password: boolean, rights: Record<Right, boolean>}} Rules
 * @typedef {{id: string, name: string}} WaitingPerson
 * @typedef {{id: string, name: string}} Ban
 * @typedef {{id: string, token: string, label: string, expires: number}} Invitation
 * @typedef {{host_key: string, waiting: WaitingPerson[], invitations: Invitation[], bans: Ban[]}} ModerationState what hosts alone know
 * @typedef {"mute" | "stop-video" | "stop-share" | "lower-hand" | "remove" | "ban" | "promote" | "demote"} ModerationAction
 * @typedef {"like" | "love" | "laugh" | "surprise" | "applause" | "party"} ReactionKind
 * @typedef {{id: string, participant: string, name: string, text: string, time: number, votes: number, answered: boolean, voted: boolean}} Question
 * @typedef {{mid: string, participant: string, source: Source}} Slot
 * @typedef {{participant: string, source: "camera" | "screen", width: number, height: number, pinned?: boolean}} ViewTile device pixels
 * @typedef {{rid: string, active: boolean, spatial?: number}} WantedLayer
 * @typedef {{source: Source, layers: WantedLayer[]}} WantedSource which layers of ours somebody watches
 * @typedef {"none" | "tile" | "hidden" | "link" | "uplink" | "sender" | "muted" | "codec"} Limit why a picture is no better
 * @typedef {{mid: string, width: number, height: number, framerate: number, kbps: number, limit: Limit}} ReceivedStream
 * @typedef {{interval_ms: number, timeout_ms: number}} Heartbeat
 * @typedef {object} Joined
 * @property {number} version
 * @property {string} room
 * @property {string} self
 * @property {boolean} resumed
 * @property {{token: string, seconds: number}} resume
 * @property {Participant[]} participants
 * @property {ChatMessage[]} chat
 * @property {RTCIceServer[]} ice_servers
 * @property {Heartbeat} heartbeat
 * @property {{name: number, chat: number, message_bytes: number, participants: number, file_bytes?: number}} limits
 * @property {RoomSettings} [settings]
 * @property {Role} [role] ours
 * @property {number} [audience] how many only watch
 * @property {Rules} [rules]
 * @property {ModerationState} [moderation] for hosts
 * @property {Question[]} [questions] of a broadcast room
 *
 * @typedef {"idle" | "connecting" | "lobby" | "joined" | "waiting" | "closed"} Status
 *   `lobby`: the socket stands, and a host has to let us in; `waiting`: broken, the next attempt comes by itself
 * @typedef {object} ClientEvents
 * @property {Joined} joined first join and every one after a break
 * @property {{status: Status}} status
 * @property {{code: string, message: string}} refused the server does not let us in; nothing is retried
 * @property {{reason: string}} ended the server ended the session for good
 * @property {{code: string, message: string, request?: string}} error about a message that was not a request
 * @property {{sdp: string, generation: number, fresh: boolean}} offer
 * @property {{slots: Slot[]}} slots
 * @property {{event: "joined" | "changed" | "left", participant: Participant}} participant
 * @property {{participant: string | null}} speaker
 * @property {ChatMessage & {request?: string}} chat
 * @property {{sources: WantedSource[]}} wanted
 * @property {{estimate_kbps: number, streams: ReceivedStream[]}} received
 * @property {{role: Role, resume?: {token: string}}} role ours is now this
 * @property {{count: number}} audience
 * @property {{rules: Rules}} rules
 * @property {{moderation: ModerationState}} moderation
 * @property {{host: boolean}} waiting no seat yet: a host has to let us in, and is there or not
 * @property {{action: ModerationAction, by: string}} moderated a host did this to us, or the rules where `by` is empty
 * @property {{participant: string, name: string, reaction: ReactionKind}} reaction
 * @property {{event: "asked" | "changed" | "removed", question: Question}} question `voted` in it is not ours
 * @property {{votes: Record<string, number>}} votes
 * @property {{file: string}} file-gone
 * @property {{connection: "publish" | "subscribe"}} media-lost the server gave up on one of our connections
 *
 * @typedef {{type: string, request?: string, [field: string]: any}} Message
 * @typedef {{name: string, password?: string, host_key?: string, invitation?: string, resume?: string, settings?: Partial<RoomSettings>}} Identity `resume` is
 *   the token of a seat we had; `settings` are those of a room that we open
 */

/** A request that the server refused (its code) or that got no answer (`disconnected`, `timeout`). */
export class SignallingError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "SignallingError";
    this.code = code;
  }
}

/** Fatal errors that trying again cannot mend. After all others we come back: the server says when, or we choose. */
const LASTING_ERRORS = new Set(["password", "room-full", "version", "malformed", "unknown-type", "already-joined", "locked", "banned", "denied", "invitation"]);

export class SignallingClient extends EventTarget {
  /** @type {Status} */
  status = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Identity | null} */
  #identity = null;
  #token = "";
  #failures = 0;
  #heartbeat = DEFAULT_HEARTBEAT;
  #heardAt = 0;
  #pingedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #probeTimer;
  #attemptDeadline = 0;
  #requestNumber = 0;
  /** @type {Map<string, {resolve: (reply: Message) => void, reject: (error: SignallingError) => void, deadline: number}>} */
  #requests = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watchTimer;

  /**
   * @param {string} url `wss://host/r/room/ws`
   * @param {{WebSocket?: typeof WebSocket, now?: () => number, random?: () => number}} [options]
   */
  constructor(url, options = {}) {
    super();
    this.url = url;
    this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.now = options.now ?? (() => performance.now());
    this.random = options.random ?? Math.random;
  }

  /**
   * Listens to one kind of event; gives back what stops it.
   * @template {keyof ClientEvents} K
   * @param {K} type @param {(detail: ClientEvents[K]) => void} handler
   */
  on(type, handler) {
    /** @param {Event} event */
    const listener = (event) => handler(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, listener);
    return () => this.removeEventListener(type, listener);
  }

  /** Joins and stays joined, whatever the network does, until `leave` or a refusal. @param {Identity} identity */
  join({ resume = "", ...identity }) {
    this.#identity = identity;
    this.#token = resume;
    this.#failures = 0;
    this.#watchTimer ??= setInterval(() => this.#watch(), WATCH_INTERVAL_MS);
    this.#connect();
  }

  /** Gives up the seat, or the place among those who wait for one, and stops. */
  leave() {
    this.#sendAlways({ type: "leave" });
    this.#stop();
  }

  /** Sends when joined; says whether it was sent. @param {Message} message @returns {boolean} */
  send(message) {
    return this.status === "joined" && this.#sendAlways(message);
  }

  /** What may be sent without a seat, too. @param {Message} message @returns {boolean} */
  #sendAlways(message) {
    if (!this.#standing || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Whether the server has answered this socket, which is kept alive from then on. */
  get #standing() {
    return this.status === "joined" || this.status === "lobby";
  }

  /**
   * Sends and waits for the reply; rejects with SignallingError.
   * @param {Message} message @returns {Promise<Message>}
   */
  request(message) {
    return new Promise((resolve, reject) => {
      if (this.#requests.size >= MAX_REQUESTS) {
        reject(new SignallingError("rate", "too many requests under way"));
        return;
      }
      const request = `r${++this.#requestNumber}`;
      if (!this.send({ ...message, request })) {
        reject(new SignallingError("disconnected", "not connected"));
        return;
      }
      this.#requests.set(request, { resolve, reject, deadline: this.now() + REQUEST_TIMEOUT_MS });
    });
  }

  /** Says whose seat it is, to HTTP: empty before `joined`. */
  get resumeToken() {
    return this.#token;
  }

  /** The network may have changed: find out soon whether the socket still lives, or retry now if it does not. */
  probe() {
    if (this.status === "waiting") this.#connect();
    else if (this.#probeTimer === undefined && this.#sendAlways({ type: "ping" })) {
      this.#probeTimer = setTimeout(() => this.#connect(), PROBE_TIMEOUT_MS);
    }
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#dropSocket();
    this.#setStatus("connecting");
    const timeouts = ATTEMPT_TIMEOUTS_MS;
    this.#attemptDeadline = this.now() + timeouts[Math.min(this.#failures, timeouts.length - 1)];
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new this.WebSocket(this.url);
    } catch {
      this.#broken();
      return;
    }
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket || !this.#identity) return;
      const { name, ...optional } = this.#identity;
      /** @type {Message} */
      const message = { type: "join", version: PROTOCOL_VERSION, name };
      for (const [field, value] of Object.entries(optional)) if (value) message[field] = value;
      if (this.#token) message.resume = this.#token;
      socket.send(JSON.stringify(message));
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#broken();
    });
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = this.now();
    this.#pingedAt = 0;
    this.#stopProbe();
    /** @type {Message} */
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      return;
    }
    if (typeof message?.type !== "string") return;
    switch (message.type) {
      case "ping":
        this.#sendAlways({ type: "pong" });
        break;
      case "pong":
        break;
      case "waiting":
        // The server is there and takes its time, as a host does.
        this.#failures = 0;
        this.#setStatus("lobby");
        this.#emit("waiting", message);
        break;
      case "joined":
        this.#joined(/** @type {any} */ (message));
        break;
      case "error":
        this.#failed(message);
        break;
      case "closing":
        this.#closing(message);
        break;
      case "role":
        this.#token = message.resume?.token ?? this.#token;
        this.#emit("role", message);
        break;
      default:
        if (!this.#settle(message)) this.#emit(message.type, message);
    }
  }

  /** @param {Joined} message */
  #joined(message) {
    this.#failures = 0;
    this.#attemptDeadline = 0;
    this.#token = message.resume?.token ?? "";
    this.#heartbeat = { ...DEFAULT_HEARTBEAT, ...message.heartbeat };
    this.#setStatus("joined");
    this.#emit("joined", message);
  }

  /** @param {Message} message */
  #failed(message) {
    const { code = "", message: text = "" } = message;
    if (message.fatal && LASTING_ERRORS.has(code)) {
      this.#stop();
      this.#emit("refused", { code, message: text });
      return;
    }
    const waiting = message.request ? this.#requests.get(message.request) : undefined;
    if (waiting) {
      this.#requests.delete(/** @type {string} */ (message.request));
      waiting.reject(new SignallingError(code, text));
    } else this.#emit("error", { code, message: text, request: message.request });
    if (message.fatal) this.#broken(Number(message.retry_ms) || 0);
  }

  /** @param {Message} message */
  #closing(message) {
    if (["replaced", "left", "ended", "removed", "banned"].includes(message.reason)) {
      this.#stop();
      this.#emit("ended", { reason: message.reason });
    } else this.#broken(Number(message.retry_ms) || 0);
  }

  /** Hands a reply to whoever waits for it. @param {Message} message */
  #settle(message) {
    const waiting = message.request ? this.#requests.get(message.request) : undefined;
    if (!waiting) return false;
    this.#requests.delete(/** @type {string} */ (message.request));
    waiting.resolve(message);
    // What was written or asked is news for everybody, the one who did so included.
    return message.type !== "chat" && message.type !== "question";
  }

  /** The heartbeat: everything that waits for time to pass. */
  #watch() {
    const now = this.now();
    for (const [request, waiting] of this.#requests) {
      if (now < waiting.deadline) continue;
      this.#requests.delete(request);
      waiting.reject(new SignallingError("timeout", "no answer"));
    }
    if (this.status === "connecting" && this.#attemptDeadline && now >= this.#attemptDeadline) this.#broken();
    if (!this.#standing) return;
    const silence = now - this.#heardAt;
    if (silence >= this.#heartbeat.timeout_ms) {
      this.#broken();
    } else if (silence >= this.#heartbeat.interval_ms && now - this.#pingedAt >= this.#heartbeat.interval_ms) {
      this.#pingedAt = now;
      this.#sendAlways({ type: "ping" });
    }
  }

  /** The socket is of no use any more: come back after a while. @param {number} [delay_ms] what the server asked for */
  #broken(delay_ms = 0) {
    this.#dropSocket();
    if (this.status === "closed" || this.status === "waiting") return;
    const planned = RETRY_DELAYS_MS[Math.min(this.#failures, RETRY_DELAYS_MS.length - 1)];
    this.#failures += 1;
    this.#setStatus("waiting");
    // Spread by a fifth: a restarted server is not met by everybody at the same instant.
    const wait = Math.max(planned, delay_ms) * (0.8 + 0.4 * this.random());
    this.#retryTimer = setTimeout(() => this.#connect(), wait);
  }

  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#stopProbe();
    this.#pingedAt = 0;
    if (socket && socket.readyState < 2) socket.close();
    const waiting = [...this.#requests.values()];
    this.#requests.clear();
    for (const { reject } of waiting) reject(new SignallingError("disconnected", "the connection broke"));
  }

  #stopProbe() {
    clearTimeout(this.#probeTimer);
    this.#probeTimer = undefined;
  }

  #stop() {
    clearTimeout(this.#retryTimer);
    clearInterval(this.#watchTimer);
    this.#watchTimer = undefined;
    this.#token = "";
    this.#setStatus("closed");
    this.#dropSocket();
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.#emit("status", { status });
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
