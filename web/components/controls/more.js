/** What stands in the menu More and in the picker of reactions, as things are now. */

import { LocalMedia } from "../../js/local-media.js";
import { maySend } from "../../js/state.js";
import { REACTIONS } from "../../js/reactions.js";

/** @typedef {import("../menu/menu.js").MenuItem} MenuItem */
/** @typedef {import("../../js/icons.js").IconName} IconName */
/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/call.js").Call} Call */

/**
 * What the bar can do, as these menus need it.
 * @typedef {Element & {call: Call, refusal(what: "microphone" | "share"): string, share(): void, inBar(what: "share" | "react"): boolean, open(event: string): void}} Bar
 */

/**
 * What others on the page open. Whoever answers such an event carries it in `data-opens` as long as it can be opened; what nobody
 * answers is not offered, nor are keys to who has only fingers.
 * @type {{action: string, icon: IconName, event: string, hostsOnly?: boolean}[]}
 */
const DOORS = [
  { action: "pip", icon: "pip", event: "openpip" },
  { action: "invite", icon: "invite", event: "openinvite" },
  { action: "rules", icon: "rules", event: "openrules", hostsOnly: true },
  { action: "shortcuts", icon: "keyboard", event: "openshortcuts" },
  { action: "settings", icon: "settings", event: "opensettings" },
];

/** @param {Bar} bar @returns {MenuItem[]} */
export function reactionItems({ call }) {
  return REACTIONS.map((reaction) => ({
    text: `reaction.${reaction}`,
    icon: reaction,
    action: "reaction",
    data: { reaction },
    row: true,
    press: () => call.room.react(reaction),
  }));
}

/** @param {Bar} bar @returns {MenuItem[]} */
export function moreItems(bar) {
  return [...(bar.inBar("react") ? [] : reactionItems(bar)), ...mediaItems(bar), ...doorItems(bar)];
}

/** @param {Bar} bar @returns {MenuItem[]} */
function mediaItems(bar) {
  const { state } = bar.call.store;
  const refused = bar.refusal("share") || undefined;
  /** @type {MenuItem[]} */
  const items = [];
  if (!maySend(state)) return items;
  if (!bar.inBar("share") && LocalMedia.canShareScreen) {
    items.push({ text: state.screen === "on" ? "share.stop" : "share.start", icon: "screen", action: "share", refused, press: () => bar.share() });
  }
  items.push({ text: "more.play-file", icon: "play", action: "play-file", refused, press: () => bar.call.playFile() });
  return items;
}

/** @param {Bar} bar @returns {MenuItem[]} */
function doorItems(bar) {
  const page = bar.closest("turnd-call");
  const offered = DOORS.filter(({ event, hostsOnly }) => {
    if (event === "openshortcuts" && !matchMedia("(any-hover: hover)").matches) return false;
    if (hostsOnly && bar.call.store.state.role !== "host") return false;
    return page?.querySelector(`[data-opens~="${event}"]`);
  });
  /** @type {MenuItem[]} */
  const items = offered.map(({ action, icon, event }) => ({ text: `more.${action}`, icon, action, hint: event === "openshortcuts" ? "?" : undefined, press: () => bar.open(event) }));
  // A page of its own, so that the call goes on.
  items.push({ text: "more.diagnose", icon: "pulse", action: "diagnose", href: "/diag" });
  return items;
}
