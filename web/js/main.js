/** Starts the page of a room: words first, then the elements, then the call. */

import { preferredLanguage, useLanguage } from "./language.js";
import { cleanRoomName } from "./room-name.js";
import { Embedding, isFramed } from "./embed.js";
import { Entry } from "./entry.js";
import { canLayer } from "./codecs.js";
import { showRememberedTheme } from "./themes.js";
import "../components/appearance/appearance.js";
import "../components/level/level.js";
import "../components/device-picker/device-picker.js";
import "../components/banner/problem.js";
import "../components/preview/preview.js";
import "../components/waiting/waiting.js";
import "../components/lobby/lobby.js";
import "../components/password/password.js";
import "../components/film/film.js";
import "../components/controls/controls.js";
import "../components/settings/settings.js";
import "../components/shortcuts/shortcuts.js";
import { CallPage, makeCall } from "../components/call/call.js";

/** What stands in the call follows once the way in is painted; elements become what they are when it is there. */
async function loadTheRest() {
  const later = document.querySelector("#later");
  if (later instanceof HTMLTemplateElement) document.head.append(later.content);
  await import("./call-parts.js");
  // A browser's first connection takes it a while to make: here nobody waits for it.
  canLayer("L1T3");
}

showRememberedTheme();
await useLanguage(preferredLanguage());
const typed = location.pathname.replace(/^\/r\//, "");
const room = cleanRoomName(typed);
const page = document.querySelector("turnd-call");
if (!room) location.replace("/");
else if (page instanceof CallPage) {
  const entry = new Entry(room);
  // A room has one address, however its name was typed, and without what the link alone knew.
  if (entry.take(location.hash) || room !== typed) history.replaceState(null, "", `/r/${room}${location.search}`);
  const call = makeCall(room, new URLSearchParams(location.search), entry);
  if (isFramed() || new URLSearchParams(location.search).has("embed")) document.documentElement.dataset.embed = "";
  call.seat.claim();
  page.start(call);
  if (document.hidden) loadTheRest();
  else requestAnimationFrame(() => setTimeout(loadTheRest));
  if (isFramed()) new Embedding(call, { allowed: document.querySelector('meta[name="embed"]')?.getAttribute("content") ?? "" }).start();
  addEventListener("hashchange", () => {
    if (!entry.take(location.hash)) return;
    history.replaceState(null, "", `/r/${room}${location.search}`);
    // Another link to the room that is open here: come in by that one.
    if (call.store.state.phase !== "lobby") location.reload();
  });
}
