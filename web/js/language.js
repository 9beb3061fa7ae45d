/**
 * The words of the page. One flat JSON file a language under locales/; a value is a string, or `{one, other}` where a
 * number decides. `{name}` in a value is replaced. Elements say what they show in `data-text` and `data-label`.
 */

import { preferences } from "./preferences.js";

/** @typedef {string | {one: string, other: string}} Phrase */

export const LANGUAGES = /** @type {const} */ ({ en: "English", fr: "Français" });

/** Tells whoever shows words made by code that they changed. */
export const languageChanges = new EventTarget();

let language = "en";
/** @type {Record<string, Phrase>} */
let phrases = {};
let plural = new Intl.PluralRules("en");

/** The remembered language, else the first of the browser's that we speak. */
export function preferredLanguage() {
  const wanted = [preferences().language, ...navigator.languages];
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ?? "en";
}

export function currentLanguage() {
  return language;
}

/** @param {string} wanted */
export async function useLanguage(wanted) {
  const response = await fetch(`/assets/locales/${wanted}.json`);
  phrases = await response.json();
  language = wanted;
  plural = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
  translate(document);
  languageChanges.dispatchEvent(new Event("change"));
}

/** @param {string} key @param {Record<string, string | number>} [values] `count` chooses the plural @returns {string} */
export function t(key, values = {}) {
  const phrase = phrases[key];
  if (phrase === undefined) return key;
  let text = typeof phrase === "string" ? phrase : phrase.other;
  if (typeof phrase !== "string" && plural.select(Number(values.count)) === "one") text = phrase.one;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Gives every marked element below its words. @param {ParentNode} root */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = t(/** @type {HTMLElement} */ (element).dataset.text ?? "");
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    const label = t(/** @type {HTMLElement} */ (element).dataset.label ?? "");
    element.setAttribute("aria-label", label);
    if (element instanceof HTMLButtonElement) element.title = label;
  }
  for (const element of root.querySelectorAll("[data-placeholder]")) {
    element.setAttribute("placeholder", t(/** @type {HTMLElement} */ (element).dataset.placeholder ?? ""));
  }
}
