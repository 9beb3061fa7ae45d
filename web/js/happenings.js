/**
 * What happens in a call that somebody may want to hear of who does not look: read off the changes of the state. Who was there when
 * we came has not arrived.
 */

import { onStage } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {"joined" | "left" | "hand" | "share" | "share-ended" | "waiting" | "chat" | "lost" | "back"} HappeningKind */
/** @typedef {{kind: HappeningKind, name: string}} Happening */

/** In larger rooms people come and go without a word. */
const SMALL_ROOM = 20;
/** After a restart of the server everybody comes back one after the other. */
const SETTLING_MS = 5000;

export class Happenings {
  /** @type {State} */
  #before;
  #inSince = 0;

  /** @param {Store} store @param {(happenings: Happening[]) => void} tell @param {() => number} now ms */
  constructor(store, tell, now = () => performance.now()) {
    this.#before = store.state;
    store.subscribe((state) => {
      const before = this.#before;
      this.#before = state;
      if (state.self !== before.self) this.#inSince = now();
      const list = happenings(before, state, now() - this.#inSince < SETTLING_MS);
      if (list.length > 0) tell(list);
    });
  }
}

/** @param {State} before @param {State} after @param {boolean} settling @returns {Happening[]} */
export function happenings(before, after, settling) {
  if (before.phase !== "call" || after.phase !== "call") return [];
  /** @type {Happening[]} */
  const list = [];
  if (before.reconnecting !== after.reconnecting) list.push({ kind: after.reconnecting ? "lost" : "back", name: "" });
  if (before.self !== after.self) return list;
  list.push(...comings(before, after, settling), ...doings(before, after));
  if (after.unread > before.unread) list.push({ kind: "chat", name: after.chat.filter(({ own }) => !own).at(-1)?.name ?? "" });
  return list;
}

/** @param {State} before @param {State} after @param {boolean} settling @returns {Happening[]} */
function comings(before, after, settling) {
  const known = new Map(onStage(before).map(({ id, name }) => [id, name]));
  const present = new Map(onStage(after).map(({ id, name }) => [id, name]));
  const waitedBefore = new Set(before.moderation?.waiting.map(({ id }) => id));
  const waiting = after.moderation?.waiting.filter(({ id }) => !waitedBefore.has(id)) ?? [];
  /** @type {Happening[]} */
  const list = waiting.map(({ name }) => ({ kind: "waiting", name }));
  if (settling || Math.max(known.size, present.size) > SMALL_ROOM) return list;
  for (const [id, name] of present) if (!known.has(id)) list.push({ kind: "joined", name });
  for (const [id, name] of known) if (!present.has(id)) list.push({ kind: "left", name });
  return list;
}

/** @param {State} before @param {State} after @returns {Happening[]} */
function doings(before, after) {
  const known = new Map(before.participants.map((each) => [each.id, each]));
  /** @type {Happening[]} */
  const list = [];
  for (const { id, name, hand = 0, screen } of after.participants) {
    const old = known.get(id);
    if (hand > 0 && !old?.hand) list.push({ kind: "hand", name });
    if (old && screen !== old.screen) list.push({ kind: screen ? "share" : "share-ended", name });
  }
  return list;
}
