/** Keeps the screen lit during a call. The browser takes the lock away from a page that is not seen; it is asked for again. */

export class WakeLock {
  #wanted = false;
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#ask());
  }

  /** @param {boolean} on */
  hold(on) {
    if (on === this.#wanted) return;
    this.#wanted = on;
    if (on) this.#ask();
    else this.#lock?.release();
  }

  async #ask() {
    if (!this.#wanted || document.hidden || (this.#lock && !this.#lock.released)) return;
    try {
      this.#lock = await navigator.wakeLock.request("screen");
      if (!this.#wanted) this.#lock.release();
    } catch {
      // Not every browser has it, and a low battery refuses.
    }
  }
}
