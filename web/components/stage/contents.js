/** What the tiles show: everybody who can be seen and heard, ourselves, and shared screens; read from the state. */

import { maySend, onStage } from "../../js/state.js";
import { SELF, handOrder } from "../../js/seating.js";
import { barsFor } from "../quality/quality.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/call.js").Call} Call */
/** @typedef {import("../../js/protocol.js").Participant} Participant */
/** @typedef {import("../tile/tile.js").TileContent} TileContent */

const OWN_SCREEN = `${SELF}/screen`;

/** @param {TileContent} content */
export function isScreen({ source }) {
  return source === "screen";
}

/** @param {State} state @param {Call} call @returns {TileContent[]} ourselves first, screens last */
export function stageContents(state, call) {
  const hands = handOrder([...state.participants, { id: state.self, hand: state.hand }]);
  const people = onStage(state);
  const contents = people.map((person) => camera(person, state, call, hands.get(person.id) ?? 0));
  if (maySend(state)) contents.unshift(ownCamera(state, call, hands.get(state.self) ?? 0));
  if (state.film) contents.push(ownFilm(state, state.film.name, call));
  contents.push(...people.filter(({ screen }) => screen).map((person) => screenOf(person, state, call)));
  return contents;
}

/** @param {State} state @param {Call} call @param {string} participant @param {"camera" | "screen"} source */
function received(state, call, participant, source) {
  const { subscriber } = call;
  const mid = subscriber.slot(participant, source)?.mid;
  return { track: subscriber.track(participant, source), bars: barsFor(state, { participant, source, self: false }, mid) };
}

/** @param {Participant} person @param {State} state @param {Call} call @param {number} hand @returns {TileContent} */
function camera({ id, name, microphone, camera: picture, connected }, state, call, hand) {
  const speaking = state.speaker === id && microphone;
  return { key: id, participant: id, source: "camera", name, self: false, microphone, picture, connected, speaking, hand, ...received(state, call, id, "camera") };
}

/** @param {Participant} person @param {State} state @param {Call} call @returns {TileContent} */
function screenOf({ id, name, connected }, state, call) {
  const plain = { self: false, microphone: true, picture: true, speaking: false, hand: 0 };
  return { key: `${id}/screen`, participant: id, source: "screen", name, connected, ...plain, ...received(state, call, id, "screen") };
}

/** @param {State} state @param {Call} call @param {number} hand @returns {TileContent} */
function ownCamera(state, call, hand) {
  const { self, speaker } = state;
  const microphone = state.microphone === "on";
  return {
    key: SELF,
    participant: self,
    source: "camera",
    name: state.name,
    self: true,
    microphone,
    picture: state.camera === "on",
    connected: true,
    speaking: speaker === self && self !== "" && microphone,
    hand,
    track: call.media.track("camera"),
    bars: barsFor(state, { participant: self, source: "camera", self: true }, undefined),
  };
}

/** @param {State} state @param {string} name @param {Call} call @returns {TileContent} */
function ownFilm({ self }, name, call) {
  const plain = { self: true, microphone: true, picture: true, connected: true, speaking: false, hand: 0, bars: /** @type {const} */ (0) };
  return { key: OWN_SCREEN, participant: self, source: "screen", name, track: call.media.track("screen"), ...plain };
}
