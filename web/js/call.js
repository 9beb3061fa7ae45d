/**
 * A call: joins the signalling client, the two peer connections and our own devices, and keeps the state store true. It
 * knows nothing of the page. Everything that breaks is mended here without anybody's help; see joined() and recovery.js.
 */

import { Publisher } from "./publisher.js";
import { Subscriber } from "./subscriber.js";
import { LocalMedia, captureReason } from "./local-media.js";
import { SignallingClient } from "./protocol.js";
import { ChatLog } from "./chat-log.js";
import { Relays } from "./ice-servers.js";
import { onStage } from "./state.js";
import { ViewReport } from "./view-report.js";
import { SilenceWatch } from "./silence.js";
import { FileTransfer } from "./file-transfer.js";
import { RoomActions } from "./room-actions.js";
import { Entry } from "./entry.js";
import { remember } from "./preferences.js";

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").Joined} Joined */
/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./state.js").Store} Store */
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
   * @param {{store: Store, url: string, relay: RelayChoice, settings?: Partial<RoomSettings>, entry?: Entry}} options
   *   `settings` are those of the room if we are the one who opens it
   */
  constructor({ store, url, relay, settings, entry = new Entry(store.state.room) }) {
    this.store = store;
    this.entry = entry;
    this.settings = settings;
    this.signalling = new SignallingClient(url);
    this.relays = new Relays(relay);
    this.publisher = new Publisher(this.signalling, this.relays, (healthy) => this.#mediaHealth("publish", healthy));
    this.subscriber = new Subscriber(this.signalling, this.relays, {
      healthy: (healthy) => this.#mediaHealth("subscribe", healthy),
      tracks: () => store.set({ tracks: store.state.tracks + 1 }),
    });
    this.chat = new ChatLog(this.signalling, store);
    this.files = new FileTransfer(this.signalling, store);
    this.room = new RoomActions(this.signalling, store, (key) => this.notify(key));
    this.view = new ViewReport((tiles) => this.signalling.send({ type: "view", tiles }));
    // What we send is answered all the time; who only watches hears the others.
    this.silence = new SilenceWatch(
      () => this.publishConnection ?? this.subscribeConnection,
      (finding) => this.networkMayHaveChanged(finding === "broken"),
    );
    this.#listenToServer();
    this.#listenToDevices();
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
    this.store.set({ phase: "joining", name, refused: "", ended: "", problem: null, passwordTried: password !== "" });
    this.signalling.join({ name, password, settings: this.settings, ...this.entry.pass });
    this.#lookAtHealth();
  }

  /** No longer wants in: stands before the door again, the devices as they are. */
  cancelJoin() {
    this.signalling.leave();
    this.store.set({ phase: "lobby", waiting: null, reconnecting: false });
    this.#lookAtHealth();
  }

  /** Empty: none. Who opens the room anew after a restart must bring the one that holds. @param {string} password */
  changePassword(password) {
    this.#password = password;
    this.room.changeRules({ password });
  }

  leave() {
    this.files.end();
    this.signalling.leave();
    this.#end("left");
  }

  /** What to do with the network having changed or the page having come back. @param {boolean} changed */
  networkMayHaveChanged(changed) {
    this.signalling.probe();
    if (changed && this.signalling.status === "joined") this.#restartMedia();
  }

  /** The page is looked at again: a telephone call or a locked screen may have taken the microphone away. */
  async pageShown() {
    this.networkMayHaveChanged(false);
    this.showPanel(this.store.state.panel);
    const track = this.media.track("microphone");
    if (this.store.state.phase === "call" && this.store.state.microphone === "on" && track?.muted) await this.#start("microphone");
  }

  /** Turns both on where that is possible. Says whether at least one is on. */
  async startBoth() {
    this.store.set({ microphone: "starting", camera: "starting", problem: null });
    try {
      await this.media.start({ microphone: true, camera: true });
    } catch (error) {
      const reason = captureReason(error);
      if (reason === "NotAllowedError" || reason === "insecure") {
        this.store.set({ microphone: "off", camera: "off", problem: { what: "both", reason } });
        return false;
      }
      // One of the two is missing or taken: have the other.
      await this.#start("microphone");
      await this.#start("camera");
    }
    this.#readLocal();
    return this.store.state.microphone === "on" || this.store.state.camera === "on";
  }

  /** Muting keeps the device, so that speaking again is instant; before the call it is let go. */
  async toggleMicrophone() {
    const { microphone, phase } = this.store.state;
    if (microphone === "starting") return;
    const track = this.media.track("microphone");
    if (track && phase === "call") {
      track.enabled = microphone === "off";
      this.#readLocal();
      this.#sendState();
    } else if (track) this.media.stop("microphone");
    else await this.#start("microphone");
    if (phase === "lobby") remember({ microphone: this.store.state.microphone === "on" });
  }

  async toggleCamera() {
    const { camera, phase } = this.store.state;
    if (camera === "starting") return;
    if (camera === "on") this.media.stop("camera");
    else await this.#start("camera");
    if (phase === "lobby") remember({ camera: this.store.state.camera === "on" });
  }

  async toggleScreen() {
    const { screen } = this.store.state;
    if (screen === "starting") return;
    if (screen === "on") {
      this.media.stop("screen");
      this.media.stop("screen-audio");
      return;
    }
    this.store.set({ screen: "starting", problem: null });
    try {
      await this.media.startScreen();
    } catch (error) {
      const reason = captureReason(error);
      if (reason !== "NotAllowedError") this.store.set({ problem: { what: "screen", reason } });
    }
    this.#readLocal();
  }

  /** @param {"microphone" | "camera" | "speaker"} what @param {string} deviceId */
  async chooseDevice(what, deviceId) {
    remember({ [`${what}Device`]: deviceId });
    this.store.set({ [`${what}Device`]: deviceId });
    if (what === "speaker") return;
    this.media.choice = { ...this.media.choice, [what]: deviceId };
    if (!this.media.track(what)) return;
    const wasOn = this.store.state[what] === "on";
    await this.#start(what);
    const track = this.media.track(what);
    if (track) track.enabled = wasOn;
    this.#readLocal();
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
    if (camera) await this.startBoth();
    else if (microphone) await this.#start("microphone");
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
    signalling.on("role", ({ role }) => this.#roleChanged(role));
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
    });
    signalling.on("refused", ({ code }) => {
      this.publisher.close();
      this.subscriber.close();
      this.silence.stop();
      if (code === "invitation") this.entry.forgetInvitation();
      store.set({ phase: "lobby", refused: code, reconnecting: false, waiting: null });
    });
    signalling.on("ended", ({ reason }) => this.#end(reason));
  }

  #listenToDevices() {
    const { media } = this;
    media.addEventListener("change", (event) => {
      const source = /** @type {CustomEvent<Source>} */ (event).detail;
      this.publisher.setTrack(source, media.track(source)).catch((error) => console.warn("turnd:", error));
      this.#readLocal();
      this.#sendState();
    });
    media.addEventListener("lost", (event) => this.#lost(/** @type {CustomEvent<Source>} */ (event).detail));
    media.addEventListener("devices", async () => this.store.set({ devices: await media.devices() }));
  }

  /** In the room: for the first time, or back after a break or after the server was restarted. @param {Joined} message */
  #joined(message) {
    const { self, participants, resumed, settings, role = "host", audience = 0 } = message;
    this.relays.servers = message.ice_servers ?? [];
    this.publisher.codec = settings?.video ?? "vp8";
    this.store.set({ phase: "call", self, participants, refused: "", broadcast: settings?.mode === "broadcast", audience, waiting: null });
    const { rules = this.store.state.rules, moderation = null, questions = [] } = message;
    this.store.set({ rules, moderation, questions });
    if (!resumed) this.store.set({ speaker: null, role, invited: false });
    else if (role !== this.store.state.role) this.#roleChanged(role);
    if (role === "viewer") this.media.stopAll();
    this.view.resend();
    this.chat.joined(message.chat ?? []);
    this.files.joined(message.limits?.file_bytes ?? 0);
    this.subscriber.joined(resumed);
    this.#sendState();
    this.publisher.joined(resumed);
    this.silence.start();
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
    this.media.stopAll();
    this.notify("notice.sent-back");
  }

  /** A host did this to us: the server has done it already, and our devices follow. @param {ModerationAction} action @param {string} by */
  #moderated(action, by) {
    const { media } = this;
    const microphone = media.track("microphone");
    if (action === "mute" && microphone) {
      microphone.enabled = false;
      this.#readLocal();
      this.#sendState();
    }
    if (action === "stop-video") media.stop("camera");
    if (action === "stop-share") for (const source of /** @type {Source[]} */ (["screen", "screen-audio"])) media.stop(source);
    this.notify(`moderated.${action}`, { by });
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
      return;
    }
    const index = participants.findIndex(({ id }) => id === participant.id);
    if (event === "left") this.store.set({ participants: participants.filter(({ id }) => id !== participant.id) });
    else if (index < 0) this.store.set({ participants: [...participants, participant] });
    else this.store.set({ participants: participants.map((each, at) => (at === index ? participant : each)) });
  }

  /** @param {"microphone" | "camera"} what */
  async #start(what) {
    const { problem } = this.store.state;
    this.store.set({ [what]: "starting", problem: problem?.what === what || problem?.what === "both" ? null : problem });
    try {
      await this.media.start({ [what]: true });
      // Left while the browser was still asking: the light must not come on.
      if (this.store.state.phase === "ended") this.media.stopAll();
    } catch (error) {
      this.store.set({ problem: { what, reason: captureReason(error) } });
    }
    this.#readLocal();
  }

  /** A device was unplugged, or the browser ended the share. @param {Source} source */
  async #lost(source) {
    this.#readLocal();
    this.#sendState();
    if (source === "screen") this.media.stop("screen-audio");
    if (source !== "microphone" && source !== "camera") return;
    await this.#start(source);
    if (!this.media.track(source)) this.notify(`notice.${source}-lost`);
  }

  /** The store follows the tracks. */
  #readLocal() {
    const { media } = this;
    const microphone = media.track("microphone")?.enabled ? "on" : "off";
    this.store.set({
      microphone,
      camera: media.track("camera") ? "on" : "off",
      screen: media.track("screen") ? "on" : "off",
    });
    if (media.track("microphone") || media.track("camera")) remember({ asked: true });
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
    this.media.stopAll();
    this.view.close();
    this.silence.stop();
    this.files.end();
    clearTimeout(this.#breakTimer);
    this.#breakTimer = undefined;
    clearTimeout(this.#stuckTimer);
    this.store.set({ phase: "ended", ended: reason, participants: [], reconnecting: false, panel: "", speaker: null, waiting: null });
  }
}
