/** One line of the chat, as elements: text or a file, to all or to one, settled, on its way or refused. */

import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, currentLocale, t } from "../../js/language.js";
import { audienceOf } from "../../js/chat-export.js";
import { mayUse } from "../../js/state.js";
import { fileSize, plainName } from "../../js/file-size.js";

/** @typedef {import("../../js/state.js").ShownMessage} ShownMessage */
/** @typedef {import("../../js/call.js").Call} Call */

const LINKS = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

/** Text, with its web addresses made pressable. @param {string} text @returns {(Node | string)[]} */
export function withLinks(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINKS)) {
    parts.push(text.slice(end, match.index));
    const link = make("a", { href: match[0], target: "_blank", rel: "noopener noreferrer" });
    link.textContent = match[0];
    parts.push(link);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

/** A name on one line: when there is no place for all of it, its end with the type stays. @param {string} name */
export function fileName(name) {
  const plain = plainName(name);
  const letters = [...plain];
  const dot = Math.max(0, letters.lastIndexOf("."), letters.length - 10);
  const stem = make("span", { class: "file-stem" });
  const end = make("span", { class: "file-end" });
  stem.textContent = letters.slice(0, dot).join("");
  end.textContent = letters.slice(dot).join("");
  return make("bdi", { class: "file-name", title: plain }, stem, end);
}

/** @param {ShownMessage} message */
function until({ file, gone }) {
  const expires = (file?.expires ?? 0) * 1000;
  if (gone || expires <= Date.now()) return t("file.gone");
  return t("file.until", { date: new Intl.DateTimeFormat(currentLocale(), { day: "numeric", month: "short" }).format(expires) });
}

/** @param {ShownMessage} message @param {Call} call @param {boolean} mayDelete */
function fileCard(message, call, mayDelete) {
  const { id, name, bytes, expires } = /** @type {import("../../js/protocol.js").SharedFile} */ (message.file);
  const there = !message.gone && expires * 1000 > Date.now();
  const about = make("span", { class: "file-about", title: new Intl.DateTimeFormat(currentLocale(), { dateStyle: "medium", timeStyle: "short" }).format(expires * 1000) });
  about.textContent = `${fileSize(bytes, currentLanguage())} · ${until(message)}`;
  const card = make("div", { class: there ? "file-card" : "file-card is-gone", data: { file: id } }, make("div", { class: "file-words" }, fileName(name), about));
  if (!there) return card;
  const plain = plainName(name);
  const get = make("a", { class: "round", href: call.files.addressOf(id), download: plain, title: t("file.download"), data: { action: "download" } }, icon("download"));
  get.setAttribute("aria-label", t("file.download-name", { name: plain }));
  card.append(get);
  if (!mayDelete) return card;
  const take = make("button", { class: "round", type: "button", title: t("file.delete"), data: { action: "delete-file" } }, icon("trash"));
  take.setAttribute("aria-label", t("file.delete-name", { name: plain }));
  take.addEventListener("click", () => withdraw(take, id, call));
  card.append(take);
  return card;
}

/** @param {HTMLButtonElement} button @param {string} file @param {Call} call */
async function withdraw(button, file, call) {
  button.disabled = true;
  if (await call.files.withdraw(file)) call.chat.fileGone(file);
  else call.notify("notice.file-kept");
  button.disabled = false;
}

/** @param {ShownMessage} message @param {Call} call */
function reasonOf({ failed, to }, call) {
  if (failed === "unknown") return "chat.failed.gone";
  if (failed !== "forbidden") return "chat.failed";
  return mayUse(call.store.state, "chat") && to ? "chat.failed.unreachable" : "chat.failed.forbidden";
}

/** @param {ShownMessage} message @param {Call} call */
function failure(message, call) {
  const { id, receiver } = message;
  const words = make("p", { class: "chat-failure", role: "alert" });
  words.textContent = t(reasonOf(message, call), { name: receiver ?? "" });
  const again = make("button", { class: "button small", type: "button", text: "again", data: { action: "again" }, on: { click: () => call.chat.again(id) } });
  const drop = make("button", { class: "button small quiet", type: "button", text: "chat.discard", data: { action: "discard" }, on: { click: () => call.chat.discard(id) } });
  return make("div", { class: "chat-failed" }, words, make("div", { class: "chat-failed-choice" }, again, drop));
}

/** @param {ShownMessage} message @param {string} self */
function head(message, self) {
  const who = make("bdi", { class: "chat-who" });
  who.textContent = message.own ? t("you") : message.name;
  const when = make("time", { class: "chat-time", datetime: new Date(message.time * 1000).toISOString() });
  when.textContent = new Intl.DateTimeFormat(currentLocale(), { hour: "2-digit", minute: "2-digit" }).format(message.time * 1000);
  const line = make("p", { class: "chat-head" }, who, when);
  const whom = audienceOf(message, self);
  if (!whom) return line;
  const mark = make("span", { class: "chat-whom" }, icon("lock"));
  mark.append(whom);
  line.append(mark);
  return line;
}

/**
 * @param {ShownMessage} message
 * @param {{call: Call, self: string, goesOn: boolean, mayDelete: boolean}} place `goesOn`: under the head of the line before
 */
export function messageLine(message, { call, self, goesOn, mayDelete }) {
  // A screen reader says what others write; what we wrote we know, until it fails.
  const item = make("li", { class: "chat-item", "aria-live": message.own ? "off" : undefined });
  item.classList.toggle("is-own", message.own ?? false);
  item.classList.toggle("is-private", Boolean(message.to));
  item.classList.toggle("goes-on", goesOn);
  item.classList.toggle("is-pending", message.pending ?? false);
  if (!goesOn) item.append(head(message, self));
  if (message.file) item.append(fileCard(message, call, mayDelete));
  else item.append(make("p", { class: "chat-text", dir: "auto" }, ...withLinks(message.text)));
  if (message.failed !== undefined) item.append(failure(message, call));
  return item;
}

/** @param {number} time in ms @param {number} now */
function dayName(time, now) {
  const days = Math.round((new Date(time).setHours(0, 0, 0, 0) - new Date(now).setHours(0, 0, 0, 0)) / 86_400_000);
  const language = currentLanguage();
  if (days < -1) return new Intl.DateTimeFormat(currentLocale(), { weekday: "long", day: "numeric", month: "long" }).format(time);
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(days, "day");
}

/** What stands between the lines of two days. @param {number} time in ms */
export function dayLine(time) {
  const words = make("span");
  const name = dayName(time, Date.now());
  words.textContent = name.charAt(0).toLocaleUpperCase(currentLanguage()) + name.slice(1);
  return make("li", { class: "chat-day" }, words);
}

