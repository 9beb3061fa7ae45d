/** What a host can do with one person, or with all: the items of menus, and the question before what cannot be taken back. */

import { confirmed } from "../confirmation/confirmation.js";

/** @typedef {import("../../js/call.js").Call} Call */
/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/people-order.js").Person} Person */
/** @typedef {import("../../js/protocol.js").ModerationAction} ModerationAction */
/** @typedef {import("../menu/menu.js").MenuItem} MenuItem */

/** @type {Record<ModerationAction, import("../../js/icons.js").IconName>} */
const ICONS = {
  mute: "microphone-off",
  "stop-video": "camera-off",
  "stop-share": "screen",
  "lower-hand": "hand",
  promote: "rules",
  demote: "rules",
  remove: "door",
  ban: "close",
};

/** @param {Call} call @param {ModerationAction} action @param {Person} person @returns {MenuItem} */
function item(call, action, person) {
  const asks = action === "remove" || action === "ban";
  const words = { title: `moderate.${action}.title`, text: `moderate.${action}.text`, yes: `moderate.${action}.yes`, values: { name: person.name } };
  const press = async () => {
    if (!asks || (await confirmed(words))) call.room.moderate(action, person.id);
  };
  return { text: `moderate.${action}`, icon: ICONS[action], action, danger: asks, press };
}

/** What there is to do with this person now; a microphone that is off cannot be muted. @param {Call} call @param {Person} person @param {boolean} broadcast @returns {MenuItem[]} */
export function personItems(call, person, broadcast) {
  const { role, microphone, camera, screen, hand } = person;
  const media = { mute: microphone, "stop-video": camera, "stop-share": screen, "lower-hand": hand };
  const possible = /** @type {ModerationAction[]} */ (Object.keys(media)).filter((action) => media[/** @type {keyof typeof media} */ (action)]);
  /** @type {MenuItem[]} */
  const place = [];
  const stage = (/** @type {boolean} */ on) => () => call.stage(person.id, on);
  if (broadcast && role === "viewer" && person.connected) place.push({ text: "people.bring", icon: "share-sheet", action: "bring", press: stage(true) });
  if (broadcast && role === "speaker") place.push({ text: "people.send-back", icon: "people", action: "send-back", press: stage(false) });
  if (role === "host") place.push(item(call, "demote", person));
  else if (role !== "viewer") place.push(item(call, "promote", person));
  return [...possible.map((action) => item(call, action, person)), ...place, item(call, "remove", person), item(call, "ban", person)];
}

/** What a host can do to all who are not. @param {Call} call @returns {MenuItem[]} */
export function everybodyItems(call) {
  /** @param {ModerationAction} action @returns {MenuItem} */
  const forAll = (action) => ({ text: `moderate.all.${action}`, icon: ICONS[action], action: `all-${action}`, press: () => call.room.moderate(action) });
  const words = { title: "moderate.all.remove.title", text: "moderate.all.remove.text", yes: "moderate.all.remove.yes" };
  const press = async () => {
    if (await confirmed(words)) call.room.moderate("remove");
  };
  return [forAll("mute"), forAll("stop-video"), forAll("lower-hand"), { ...forAll("remove"), danger: true, press }];
}
