/**
 * What goes on around the views of a call: announcements and sounds, single keys, the screen kept lit, the title of the window.
 */

import { Announcer } from "../../js/announcer.js";
import { Happenings } from "../../js/happenings.js";
import { Shortcuts } from "../../js/shortcuts.js";
import { Sounds } from "../../js/sounds.js";
import { WakeLock } from "../../js/wake-lock.js";
import { t } from "../../js/language.js";

/** @typedef {import("../../js/call.js").Call} Call */
/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/shortcuts.js").Deed} Deed */

/** @param {HTMLElement} page @param {Call} call @param {HTMLElement} region that is read out */
export function surround(page, call, region) {
  const { store } = call;
  const announcer = new Announcer(region);
  const sounds = new Sounds(store);
  new Happenings(store, (happenings) => {
    announcer.hear(happenings);
    sounds.hear(happenings);
  });
  const lock = new WakeLock();
  store.subscribe(({ phase }) => lock.hold(phase === "call"));
  let panel = store.state.panel;
  store.subscribe((state) => {
    if (panel && !state.panel) focusOpener(page, panel);
    panel = state.panel;
  });
  new Shortcuts({
    enabled: () => store.state.choices.shortcuts,
    pushToTalk: () => store.state.choices.pushToTalk && store.state.phase === "call",
    talk: (on) => call.capture.talk(on),
    do: (deed) => perform(page, call, deed),
  });
}

/** @param {HTMLElement} page @param {Call} call @param {Deed} deed */
function perform(page, call, deed) {
  if (deed === "close") {
    const { panel } = call.store.state;
    if (panel) call.showPanel("");
    return panel !== "";
  }
  const door = `open${deed}`;
  if (page.querySelector(`[data-opens~="${door}"]`)) return page.dispatchEvent(new Event(door));
  // Whatever the button does or refuses, the key does and refuses as well.
  const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (page.querySelectorAll(`button[data-action="${deed}"]`));
  const button = [...buttons].find((each) => !each.closest("[hidden], dialog"));
  button?.click();
  return button !== undefined;
}

/** Whoever was in a panel that is closed goes on at the button that opens it. @param {HTMLElement} page @param {string} panel */
function focusOpener(page, panel) {
  const focused = document.activeElement;
  const lost = !focused || focused === document.body || focused.closest("turnd-chat, turnd-people, turnd-questions");
  const opener = page.querySelector(`[data-action="${panel}"]`);
  if (lost && opener instanceof HTMLElement) opener.focus();
}

/** @param {State} state */
export function windowTitle({ room, unread, moderation }) {
  const waiting = moderation?.waiting.length ?? 0;
  return [unread > 0 && `(${unread})`, waiting > 0 && `${t("title.waiting", { count: waiting })} ·`, `${room} · turnd`].filter(Boolean).join(" ");
}
