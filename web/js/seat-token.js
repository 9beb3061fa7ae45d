/**
 * The token of this tab's seat, kept over a reload: who had a seat is nobody new to the room, whatever its lock and lobby say to
 * others, and a host is host again. A tab that is duplicated takes its storage along; a lock that only one page at a time can hold
 * keeps the copy from taking the seat away.
 */

const CLAIM_MS = 1000;
/** Who comes back to the page later comes to another gathering, though it may have the room's name. */
export const KEEP_MS = 300_000;

/** @typedef {{id: string, token: string, at: number}} Kept */

export class SeatToken {
  #key;
  #locks;
  #now;
  /** @type {Storage | null} */
  #storage = null;
  #id = "";
  /** Empty until it is ours. */
  value = "";

  /** @param {string} room @param {{storage?: () => Storage, locks?: LockManager, now?: () => number}} [options] */
  constructor(room, { storage = () => sessionStorage, locks = navigator.locks, now = Date.now } = {}) {
    this.#key = `turnd-seat ${room}`;
    this.#locks = locks;
    this.#now = now;
    try {
      this.#storage = storage();
    } catch {
      // Storage is refused: a reload begins anew.
    }
  }

  /** Takes over what this tab kept, if no other page has it. */
  async claim() {
    const kept = this.#read();
    if (kept && (await this.#hold(kept.id))) {
      this.#id = kept.id;
      // Joined meanwhile: what that brought is newer.
      this.value ||= kept.token;
      return;
    }
    this.#id = crypto.randomUUID?.() ?? String(Math.random());
    await this.#hold(this.#id);
    if (this.value) this.keep(this.value);
  }

  /** @param {string} token */
  keep(token) {
    this.value = token;
    if (!this.#id) return;
    try {
      this.#storage?.setItem(this.#key, JSON.stringify({ id: this.#id, token, at: this.#now() }));
    } catch {
      // Full: it holds as long as the page.
    }
  }

  /** The page is out of sight, or closes: from now on it counts how long it is away. */
  rest() {
    if (this.value) this.keep(this.value);
  }

  /** The seat is over. */
  forget() {
    this.keep("");
  }

  /** @returns {Kept | null} */
  #read() {
    try {
      const kept = JSON.parse(this.#storage?.getItem(this.#key) ?? "null");
      const sound = typeof kept?.id === "string" && typeof kept.token === "string" && typeof kept.at === "number";
      return sound && this.#now() - kept.at <= KEEP_MS ? kept : null;
    } catch {
      return null;
    }
  }

  /** Whether this page holds it from now on; the page before it may need a moment to let go. @param {string} id @returns {Promise<boolean>} */
  #hold(id) {
    if (!this.#locks) return Promise.resolve(false);
    return new Promise((resolve) => {
      const giveUp = new AbortController();
      const timer = setTimeout(() => giveUp.abort(), CLAIM_MS);
      const held = () => {
        clearTimeout(timer);
        resolve(true);
        return new Promise(() => {});
      };
      this.#locks.request(`${this.#key} ${id}`, { signal: giveUp.signal }, held).catch(() => resolve(false));
    });
  }
}
