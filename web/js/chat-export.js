/** The chat as a text to keep: who wrote what to whom and when, in the words of the reader's language. */

import { currentLanguage, currentLocale, t } from "./language.js";
import { fileSize, plainName } from "./file-size.js";

/** @typedef {import("./state.js").ShownMessage} ShownMessage */

/** Whom a line is for, if not for all. @param {ShownMessage} message @param {string} self */
export function audienceOf({ to, own, receiver, name }, self) {
  if (!to) return "";
  if (own) return t("chat.private-to", { name: receiver || t("chat.somebody") });
  return to === self ? t("chat.private-from", { name }) : t("chat.private");
}

/** @param {ShownMessage} message */
function words({ text, file, gone }) {
  if (!file) return text;
  const said = t("file.exported", { name: plainName(file.name), size: fileSize(file.bytes, currentLanguage()) });
  return gone ? `${said} (${t("file.gone")})` : said;
}

/** @param {{room: string, self: string, chat: ShownMessage[], now?: number}} call @returns {string} */
export function chatText({ room, self, chat, now = Date.now() }) {
  const day = new Intl.DateTimeFormat(currentLocale(), { dateStyle: "full" });
  const clock = new Intl.DateTimeFormat(currentLocale(), { hour: "2-digit", minute: "2-digit" });
  const lines = [`${t("chat.of-room", { room })} – ${new Intl.DateTimeFormat(currentLocale(), { dateStyle: "long", timeStyle: "short" }).format(now)}`];
  let today = "";
  for (const message of chat.filter(({ pending, failed }) => !pending && failed === undefined)) {
    const date = day.format(message.time * 1000);
    if (date !== today) lines.push("", date, "");
    today = date;
    const whom = audienceOf(message, self);
    const head = `[${clock.format(message.time * 1000)}] ${message.name}${whom ? ` (${whom})` : ""}: `;
    lines.push(head + words(message).replaceAll("\n", "\n    "));
  }
  return `${lines.join("\n")}\n`;
}

/** @param {string} room @param {number} [now] */
export function exportName(room, now = Date.now()) {
  return `${room} ${new Date(now).toISOString().slice(0, 10)}.txt`;
}
