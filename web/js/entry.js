/**
 * What a link brings beside the name of the room: the key of a host, or an invitation. It stands in the fragment, which browsers
 * do not send; from there it goes into this tab's storage, so that nobody reads it over a shoulder and a reload still has it.
 */

import { invitationLink } from "./room-settings.js";

/** @typedef {{host_key?: string, invitation?: string}} Pass */

const MAX_LENGTH = 128;
const FIELDS = /** @type {const} */ ({ host: "host_key", invite: "invitation" });

/** @param {string} hash `#host=…` or `#invite=…` @returns {Pass | null} null where it says neither */
export function readPass(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Pass} */
  const pass = {};
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = fields.get(name);
    if (value && value.length <= MAX_LENGTH) pass[field] = value;
  }
  return Object.keys(pass).length > 0 ? pass : null;
}

/** @param {string} room @param {boolean} broadcast @param {string} key */
export function hostLink(room, broadcast, key) {
  return `${invitationLink(room, broadcast)}#host=${key}`;
}

/** @param {string} room @param {boolean} broadcast @param {string} token */
export function passLink(room, broadcast, token) {
  return `${invitationLink(room, broadcast)}#invite=${token}`;
}

/** What this tab holds for one room. */
export class Entry {
  #key;
  /** @type {Storage | null} null where the browser refuses it: then a reload forgets */
  #storage;
  /** @type {Pass} */
  pass = {};

  /** @param {string} room @param {() => Storage} [storage] */
  constructor(room, storage = () => sessionStorage) {
    this.#key = `turnd-pass ${room}`;
    try {
      this.#storage = storage();
      this.pass = readPass(this.#storage.getItem(this.#key) ?? "") ?? {};
    } catch {
      this.#storage = null;
    }
  }

  /** Keeps what the fragment brings, in the place of what was there; says whether it brought anything. @param {string} hash */
  take(hash) {
    const pass = readPass(hash);
    if (!pass) return false;
    this.#keep(pass);
    return true;
  }

  /** An invitation that is over would only be refused again. */
  forgetInvitation() {
    const { host_key } = this.pass;
    this.#keep(host_key ? { host_key } : {});
  }

  /** @param {Pass} pass */
  #keep(pass) {
    this.pass = pass;
    const fields = new URLSearchParams();
    for (const [name, field] of Object.entries(FIELDS)) if (pass[field]) fields.set(name, pass[field]);
    try {
      this.#storage?.setItem(this.#key, fields.toString());
    } catch {
      // Full or refused: it holds as long as the page.
    }
  }
}
