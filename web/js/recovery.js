/**
 * Watches one RTCPeerConnection and says what to do when it stops carrying media: an ICE restart first, a new connection
 * if that did not help, and again until it does. It owns only its timers.
 */

/** ICE has been patient before it says "disconnected", and a restart does not hinder what heals by itself. */
const DISCONNECTED_PATIENCE_MS = 500;
/** How long a cure may take to work before the next, stronger one. */
const CURE_PATIENCE_MS = [7000, 8000, 12000, 15000];
/** What carried media once, and is made anew on a network that is just coming up, is tried again sooner. */
const AGAIN_PATIENCE_MS = 2500;
const AGAIN_CURES = 2;
/** The direct way works at once or not at all. */
const DIRECT_PATIENCE_MS = 2000;

export class ConnectionWatch {
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  #cures = 0;
  #relayLevel = 0;
  #healthy = true;
  /** Whether it has ever carried media. */
  #proven = false;
  #brokenAt = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {import("./ice-servers.js").Relays} relays
   * @param {object} hooks
   * @param {() => boolean} hooks.ready whether a cure can be asked for now; whoever makes it so looks at `healthy` then
   * @param {(cure: "restart" | "rebuild") => void} hooks.cure
   * @param {(healthy: boolean) => void} hooks.changed
   */
  constructor(relays, { ready, cure, changed }) {
    this.relays = relays;
    this.ready = ready;
    this.cure = cure;
    this.changed = changed;
  }

  /** Looks after this connection from now on, instead of the one before. @param {RTCPeerConnection | null} connection */
  attach(connection) {
    clearTimeout(this.#timer);
    this.#connection = connection;
    this.#relayLevel = this.relays.level;
    if (!connection) {
      this.#report(true);
      return;
    }
    const look = () => {
      if (connection === this.#connection) this.#look();
    };
    connection.addEventListener("iceconnectionstatechange", look);
    connection.addEventListener("connectionstatechange", look);
    this.#expectHealth();
  }

  get healthy() {
    const state = this.#connection?.iceConnectionState;
    return state === "connected" || state === "completed";
  }

  /** How long it has been known to carry nothing. */
  get broken_ms() {
    return Math.max(0, performance.now() - this.#brokenAt);
  }

  /** A cure has just been asked for by somebody else: give it time. */
  expectHealth() {
    if (this.#connection) this.#expectHealth();
  }

  close() {
    this.attach(null);
  }

  #look() {
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    const ice = connection.iceConnectionState;
    if (connection.connectionState === "failed" && ice !== "failed") {
      // ICE works but DTLS does not: no restart can mend that.
      this.#act("rebuild");
    } else if (ice === "connected" || ice === "completed") {
      clearTimeout(this.#timer);
      this.#cures = 0;
      this.#proven = true;
      this.#report(true);
    } else if (ice === "failed") {
      this.#act();
    } else if (ice === "disconnected") {
      clearTimeout(this.#timer);
      this.#report(false);
      this.#timer = setTimeout(() => this.#act(), DISCONNECTED_PATIENCE_MS);
    }
  }

  /** @param {"restart" | "rebuild"} [cure] */
  #act(cure = this.#cures % 3 === 0 ? "restart" : "rebuild") {
    this.#report(false);
    if (!this.ready()) return;
    this.#cures += 1;
    this.#relayLevel = this.relays.raise(this.#relayLevel);
    this.#expectHealth();
    this.cure(cure);
  }

  #expectHealth() {
    clearTimeout(this.#timer);
    const later = CURE_PATIENCE_MS[Math.min(this.#cures, CURE_PATIENCE_MS.length - 1)];
    const again = this.#proven && this.#cures <= AGAIN_CURES ? AGAIN_PATIENCE_MS : later;
    const patience = this.relays.direct ? DIRECT_PATIENCE_MS : again;
    this.#timer = setTimeout(() => {
      if (!this.healthy) this.#act();
    }, patience);
  }

  /** @param {boolean} healthy */
  #report(healthy) {
    if (healthy === this.#healthy) return;
    this.#healthy = healthy;
    this.#brokenAt = healthy ? Infinity : performance.now();
    this.changed(healthy);
  }
}
