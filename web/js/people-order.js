/** Who stands where in the list of people: raised hands first, in their order, then ourselves, then by name. */

import { maySend, onStage } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {Participant & {self: boolean, rank: number}} Person `rank`: 1 is whose hand is up longest, 0: it is down */

/** @param {State} state @returns {Person} */
function ourselves({ self, name, microphone, camera, screen, role, hand }) {
  const on = { microphone: microphone === "on", camera: camera === "on", screen: screen === "on" };
  return { id: self, name, ...on, connected: true, role, hand, self: true, rank: 0 };
}

/** @param {Person} one @param {Person} other */
function compare(one, other) {
  if (one.rank || other.rank) return (one.rank || Infinity) - (other.rank || Infinity);
  if (one.self !== other.self) return one.self ? -1 : 1;
  return one.name.localeCompare(other.name);
}

/**
 * Those on the stage (everybody, in a meeting), and those of the audience that we are told of. Hands are counted through both.
 * @param {State} state @returns {{stage: Person[], audience: Person[]}}
 */
export function peopleInOrder(state) {
  const others = state.participants.map((each) => ({ ...each, self: false, rank: 0 }));
  const all = state.role !== "viewer" ? [ourselves(state), ...others] : others;
  const raised = all.filter(({ hand }) => hand).sort((a, b) => Number(a.hand) - Number(b.hand));
  raised.forEach((person, index) => (person.rank = index + 1));
  const speakers = new Set(onStage(state).map(({ id }) => id));
  if (maySend(state)) speakers.add(state.self);
  const stage = all.filter(({ id }) => speakers.has(id)).sort(compare);
  return { stage, audience: all.filter(({ id, self }) => !self && !speakers.has(id)).sort(compare) };
}

/** The words of a name, without accents and case, as people type them. @param {string} text */
function plainWords(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase().split(/[\s\-_.’']+/).filter(Boolean);
}

/** Whether each word typed begins a word of the name. @param {string} name @param {string} typed */
export function isMeant(name, typed) {
  const words = plainWords(name);
  return plainWords(typed).every((part) => words.some((word) => word.startsWith(part)));
}

/** Names as they are read out: the first few, and how many more there are. @param {string[]} names @param {number} most @returns {{named: string[], more: number}} */
export function firstNames(names, most) {
  // "and one other" would be as long as the name.
  const count = names.length === most + 1 ? most + 1 : Math.min(most, names.length);
  return { named: names.slice(0, count), more: names.length - count };
}
