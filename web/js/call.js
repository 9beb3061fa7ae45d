/**
 * A call: joins the signalling client, the two peer connections and our own devices, and keeps the state store true. It
 * knows nothing of the page. Everything that breaks is mended here without anybody's help; see joined() and recovery.js.
 */

import { Publisher } from "./publisher.js";
import { Subscriber } from "./subscriber.js";
import { Capture } from "./capture.js";
import { LocalMedia } from "./local-media.js";
import { SignallingClient } from "./protocol.js";
import { ChatLog } from "./chat-log.js";
import { Relays } from "./ice-servers.js";
import { headcount, mayUse, onStage } from "./state.js";
import { ViewReport } from "./view-report.js";
import { SilenceWatch } from "./silence.js";
import { FileTransfer } from "./file-transfer.js";
import { roundTripOf } from "./upload-pace.js";
import { RoomActions } from "./room-actions.js";
import { SpeakingWhileMuted } from "./speaking-while-muted.js";
import { Entry } from "./entry.js";
import { MediaFile } from "./media-file.js";
import { SeatToken } from "./seat-token.js";
import { remember } from "./preferences.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").Joined} Joined */
/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./preferences.js").Choices} Choices */
/** @typedef {import("./protocol.js").Role} Role */
/** @typedef {import("./protocol.js").ModerationAction} ModerationAction */
/** @typedef {import("./protocol.js").RoomSettings} RoomSettings */
/** @typedef {import("./ice-servers.js").RelayChoice} RelayChoice */

/** Shorter breaks are not worth a word. */
const SHOW_BREAK_AFTER_MS = 2000;
/** Media that needs longer than this, while the server answers, is probably blocked. */
const SAY_STUCK_AFTER_MS = 15_000;
const NOTICE_MS = 6000;
/** Somebody playing with the buttons must not run into the server's bound, or the others would see an old state. */
const STATE_INTERVAL_MS = 250;
/** By then the server has heard what we said last. */
const STATE_SETTLES_MS = 2000;

export class Call {
  media = new LocalMedia();
  #password = "";
  #health = { publish: true, subscribe: true };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #breakTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stuckTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #noticeTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stateTimer;
  #stateSentAt = -Infinity;

  /**
   * @param {{store: Store, url: string, relay: RelayChoice, settings?: Partial<RoomSettings>, entry?: Entry, seat?: SeatToken}} options
   *   `settings` are those of the room if we are the one who opens it
   */
  constructor({ store, url, relay, settings, entry = new Entry(store.state.room), seat = new SeatToken(store.state.room) }) {
    this.store = store;
    this.entry = entry;
    this.seat = seat;
    this.settings = settings;
    this.signalling = new SignallingClient(url);
    this.relays = new Relays(relay);
    this.publisher = new Publisher(this.signalling, this.relays, (healthy) => this.#mediaHealth("publish", healthy));
    this.subscriber = new Subscriber(this.signalling, this.relays, {
      healthy: (healthy) => this.#mediaHealth("subscribe", healthy),
      tracks: () => store.set({ tracks: store.state.tracks + 1 }),
    });
    this.chat = new ChatLog(this.signalling, store);
    this.files = new FileTransfer(this.signalling, store, { roundTrip: () => roundTripOf(this.publishConnection) });
    this.room = new RoomActions(this.signalling, store, (key) => this.notify(key));
    this.view = new ViewReport((tiles) => this.signalling.send({ type: "view", tiles }));
    // What we send is answered all the time; who only watches hears the others.
    this.silence = new SilenceWatch(
      () => this.publishConnection ?? this.subscribeConnection,
      (finding) => this.networkMayHaveChanged(finding === "broken"),
    );
    this.#listenToServer();
    this.#listenToDevices();
    const notify = (/** @type {string} */ key, /** @type {Record<string, string>} */ values = {}) => this.notify(key, values);
    this.capture = new Capture(this.media, store, { notify, tell: () => this.#sendState() });
    this.mutedSpeech = new SpeakingWhileMuted(store, this.media);
    this.film = new MediaFile(this.media, store, notify);
    this.media.processing = store.state.choices;
  }

  /** @returns {RTCPeerConnection | null} */
  get publishConnection() {
    return this.publisher.connection;
  }

  /** @returns {RTCPeerConnection | null} */
  get subscribeConnection() {
    return this.subscriber.connection;
  }

  /** @param {{name: string, password?: string}} identity */
  join({ name, password = this.#password }) {
    this.#password = password;
    remember({ name });
    this.store.set({ phase: "joining", name, refused: "", crowded: false, ended: "", problem: null, passwordTried: password !== "" });
    this.signalling.join({ name, password, settings: this.settings, resume: this.seat.value, ...this.entry.pass });
    this.publisher.prepare();
    this.#lookAtHealth();
  }

  /** No longer wants in: stands before the door again, the devices as they are. */
  cancelJoin() {
    this.signalling.leave();
    this.publisher.close();
    this.store.set({ phase: "lobby", waiting: null, reconnecting: false });
    this.#lookAtHealth();
  }

  /** Empty: none. Who opens the room anew after a restart must bring the one that holds. @param {string} password */
  changePassword(password) {
    this.#password = password;
    this.room.changeRules({ password });
  }

  leave() {
    this.signalling.leave();
    this.#end("left");
  }

  /** The page is no longer looked at, or closes. */
  pageHidden() {
    this.seat.rest();
  }

  /** What to do with the network having changed or the page having come back. @param {boolean} changed */
  networkMayHaveChanged(changed) {
    this.signalling.probe();
    if (changed && this.signalling.status === "joined") this.#restartMedia();
  }

  /** The page is looked at again. */
  async pageShown() {
    this.networkMayHaveChanged(false);
    await this.capture.pageShown();
  }

  /** Remembers how we like a call, and makes it so. @param {Partial<Choices>} change */
  async choose(change) {
    remember(change);
    this.store.set({ choices: { ...this.store.state.choices, ...change } });
    if (change.pushToTalk) this.capture.mute();
    await this.capture.process(change);
  }

  /** Plays a film or a sound to everybody; without a file, the one that is chosen now. @param {File} [file] */
  playFile(file) {
    if (file) this.film.play(file);
    else this.film.choose();
  }

  stopFile() {
    this.film.stop();
  }

  /** @param {import("./state.js").Panel} panel */
  showPanel(panel) {
    const { unread, unseenQuestions } = this.store.state;
    this.store.set({ panel, unread: panel === "chat" ? 0 : unread, unseenQuestions: panel === "questions" ? 0 : unseenQuestions });
  }

  /** What the shared screen shows: sharp text, or moving pictures. @param {import("./local-media.js").ScreenHint} hint */
  hintScreen(hint) {
    this.store.set({ screenHint: hint });
    this.media.hintScreen(hint);
  }

  /** Asks somebody up, sends them back, or steps down ourselves. @param {string} participant @param {boolean} on */
  stage(participant, on) {
    this.signalling.send({ type: "stage", participant, on });
  }

  /** Our answer to being asked up. @param {{microphone: boolean, camera: boolean}} devices neither: no */
  async answerInvitation({ microphone, camera }) {
    this.store.set({ invited: false });
    if (camera) await this.capture.startBoth();
    else if (microphone) await this.capture.start("microphone");
    else this.stage(this.store.state.self, false);
  }

  /** A few words that go away by themselves. @param {string} key @param {Record<string, string | number>} [values] */
  notify(key, values) {
    clearTimeout(this.#noticeTimer);
    this.store.set({ notice: { key, values } });
    this.#noticeTimer = setTimeout(() => this.store.set({ notice: null }), NOTICE_MS);
  }

  #listenToServer() {
    const { signalling, store } = this;
    signalling.on("joined", (message) => this.#joined(message));
    signalling.on("status", ({ status }) => {
      store.set({ online: status === "joined" || status === "lobby" });
      this.#lookAtHealth();
    });
    signalling.on("offer", (offer) => this.subscriber.receiveOffer(offer));
    signalling.on("slots", ({ slots }) => this.subscriber.setSlots(slots));
    signalling.on("speaker", ({ participant }) => store.set({ speaker: participant }));
    signalling.on("wanted", ({ sources }) => this.publisher.setWanted(sources));
    signalling.on("received", ({ estimate_kbps, streams }) => store.set({ received: { estimate_kbps, streams } }));
    signalling.on("role", ({ role, resume }) => {
      if (resume) this.seat.keep(resume.token);
      this.#roleChanged(role);
    });
    signalling.on("moderated", ({ action, by }) => this.#moderated(action, by));
    signalling.on("audience", ({ count }) => store.set({ audience: count }));
    signalling.on("chat", (message) => this.chat.receive(message));
    signalling.on("file-gone", ({ file }) => this.chat.fileGone(file));
    signalling.on("media-lost", ({ connection }) => {
      if (connection === "publish") this.publisher.rebuild();
      else this.subscriber.resubscribe(true);
    });
    signalling.on("participant", ({ event, participant }) => this.#participant(event, participant));
    signalling.on("error", ({ code, message }) => {
      console.warn("turnd: the server says", code, message);
      if (code === "sdp") this.subscriber.watch.expectHealth();
      if (code === "rate" && store.state.phase === "joining") store.set({ crowded: true });
    });
    signalling.on("refused", ({ code }) => {
      this.publisher.close();
      this.subscriber.close();
      this.silence.stop();
      if (code === "invitation") this.entry.forgetInvitation();
      store.set({ phase: "lobby", refused: code, reconnecting: false, waiting: null });
    });
    signalling.on("ended", ({ reason }) => {
      this.seat.forget();
      this.#end(reason);
    });
  }

  #listenToDevices() {
    const { media } = this;
    media.addEventListener("change", (event) => {
      const source = /** @type {CustomEvent<Source>} */ (event).detail;
      this.publisher.setTrack(source, media.track(source)).catch((error) => console.warn("turnd:", error));
    });
  }

  /** In the room: for the first time, or back after a break or after the server was restarted. @param {Joined} message */
  #joined(message) {
    const { self, participants, resumed, settings, role = "host", audience = 0 } = message;
    this.seat.keep(message.resume.token);
    this.relays.servers = message.ice_servers ?? [];
    this.publisher.codec = settings?.video ?? "vp8";
    this.store.set({ phase: "call", self, participants, refused: "", broadcast: settings?.mode === "broadcast", audience, waiting: null });
    const { rules = this.store.state.rules, moderation = null, questions = [] } = message;
    this.store.set({ rules, moderation, questions });
    if (!resumed) this.store.set({ speaker: null, role, invited: false });
    else if (role !== this.store.state.role) this.#roleChanged(role);
    if (role === "viewer") this.capture.stopAll();
    this.view.resend();
    if (!resumed) this.#enterQuietly();
    this.chat.joined(message.chat ?? []);
    this.files.joined(message.limits?.file_bytes ?? 0);
    this.subscriber.joined(resumed);
    this.#sendState();
    this.publisher.joined(resumed);
    this.silence.start();
  }

  /** Who may not speak yet, or speaks by holding a key, comes in muted; the server forwards nothing else anyway. */
  #enterQuietly() {
    const { state } = this.store;
    if (state.microphone !== "on") return;
    const allowed = mayUse(state, "unmute");
    if (!allowed || state.choices.pushToTalk) this.capture.mute();
    if (!allowed) this.notify("not-allowed.mute");
  }

  /** In a webinar: asked up to the stage, or sent back to the others who watch. @param {Role} role */
  #roleChanged(role) {
    const { role: before } = this.store.state;
    const up = before === "viewer" && role !== "viewer";
    // Only hosts are shown who watches.
    const participants = role === "host" ? this.store.state.participants : onStage(this.store.state);
    this.store.set({ role, invited: up, participants });
    if (role !== "host") this.store.set({ moderation: null });
    if (role !== "viewer" || before === "viewer") return;
    this.publisher.close();
    this.capture.stopAll();
    this.notify("notice.sent-back");
  }

  /** A host did this to us, or (`by` is empty) the rules: it is done already, and our devices follow. @param {ModerationAction} action @param {string} by */
  #moderated(action, by) {
    const { capture } = this;
    if (action === "mute") capture.mute();
    if (action === "stop-video") capture.stopCamera();
    if (action === "stop-share") capture.stopScreen();
    this.notify(by ? `moderated.${action}` : `not-allowed.${action}`, { by });
  }

  #restartMedia() {
    this.publisher.restart();
    if (this.subscriber.connection) this.subscriber.resubscribe(false);
  }

  /** @param {"joined" | "changed" | "left"} event @param {Participant} participant */
  #participant(event, participant) {
    const { participants, self } = this.store.state;
    if (participant.id === self) {
      this.store.set({ hand: participant.hand ?? 0 });
      this.#believe(participant);
      return;
    }
    const index = participants.findIndex(({ id }) => id === participant.id);
    if (event === "left") this.store.set({ participants: participants.filter(({ id }) => id !== participant.id) });
    else if (index < 0) this.store.set({ participants: [...participants, participant] });
    else this.store.set({ participants: participants.map((each, at) => (at === index ? participant : each)) });
  }

  /** What the server holds of us is what the others hear and see, unless our last word is still under way. @param {Participant} ourselves */
  #believe({ microphone, camera, screen }) {
    if (performance.now() - this.#stateSentAt < STATE_SETTLES_MS) return;
    const { state } = this.store;
    if (!microphone && state.microphone === "on") this.capture.mute();
    if (!camera && state.camera === "on") this.capture.stopCamera();
    if (!screen && state.screen === "on") this.capture.stopScreen();
  }

  #sendState() {
    clearTimeout(this.#stateTimer);
    const wait = this.#stateSentAt + STATE_INTERVAL_MS - performance.now();
    if (wait > 0) {
      this.#stateTimer = setTimeout(() => this.#sendState(), wait);
      return;
    }
    this.#stateSentAt = performance.now();
    const { microphone, camera, screen } = this.store.state;
    const on = { microphone: microphone === "on", camera: camera === "on", screen: screen === "on" };
    this.signalling.send({ type: "state", ...on });
  }

  /** @param {"publish" | "subscribe"} connection @param {boolean} healthy */
  #mediaHealth(connection, healthy) {
    this.#health[connection] = healthy;
    this.store.set({ mediaHealthy: this.#health.publish && this.#health.subscribe });
    // Media often notices a dead network first.
    if (!healthy) this.signalling.probe();
    this.#lookAtHealth();
  }

  #lookAtHealth() {
    const { phase, online, mediaHealthy, reconnecting } = this.store.state;
    clearTimeout(this.#stuckTimer);
    if (online && !mediaHealthy) this.#stuckTimer = setTimeout(() => this.store.set({ stuck: true }), SAY_STUCK_AFTER_MS);
    else if (this.store.state.stuck) this.store.set({ stuck: false });
    const broken = (phase === "joining" || phase === "call") && (!online || !mediaHealthy);
    if (!broken) {
      clearTimeout(this.#breakTimer);
      this.#breakTimer = undefined;
      if (reconnecting) this.store.set({ reconnecting: false });
    } else {
      this.#breakTimer ??= setTimeout(() => this.store.set({ reconnecting: true }), SHOW_BREAK_AFTER_MS);
    }
  }

  /** @param {string} reason */
  #end(reason) {
    this.publisher.close();
    this.subscriber.close();
    this.capture.stopAll();
    this.view.close();
    this.silence.stop();
    this.files.end();
    clearTimeout(this.#breakTimer);
    this.#breakTimer = undefined;
    clearTimeout(this.#stuckTimer);
    const endedAlone = headcount(this.store.state) === 1;
    this.store.set({ phase: "ended", ended: reason, endedAlone, participants: [], reconnecting: false, panel: "", speaker: null, waiting: null });
  }
}
