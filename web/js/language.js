/**
 * The words of the page. One flat JSON file a language under locales/; a value is a string, or where a number decides one for each
 * plural category that the language has (CLDR: `one`, `few`, `other`...). `{name}` in a value is replaced, inside isolates where the
 * text runs from right to left. Elements say what they show in `data-text` and `data-label`.
 */

import { assetUrl } from "./asset.js";
import { preferences } from "./preferences.js";

/** @typedef {string | ({other: string} & Partial<Record<Intl.LDMLPluralRule, string>>)} Phrase */

export const LANGUAGES = /** @type {const} */ ({
  ar: "العربية",
  de: "Deutsch",
  en: "English",
  es: "Español",
  fr: "Français",
  it: "Italiano",
  nl: "Nederlands",
  pt: "Português",
});
const RIGHT_TO_LEFT = new Set(["ar"]);

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

/** The language with the region that the browser names for it, which writes times and numbers its own way. */
export function currentLocale() {
  return navigator.languages.find((tag) => tag.slice(0, 2).toLowerCase() === language) ?? language;
}

/** @param {string} wanted */
export async function useLanguage(wanted) {
  const response = await fetch(assetUrl(`locales/${wanted}.json`));
  phrases = await response.json();
  language = wanted;
  plural = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
  document.documentElement.dir = RIGHT_TO_LEFT.has(wanted) ? "rtl" : "ltr";
  translate(document);
  languageChanges.dispatchEvent(new Event("change"));
}

/** @param {string} key @param {Record<string, string | number>} [values] `count` chooses the plural @returns {string} */
export function t(key, values = {}) {
  const phrase = phrases[key];
  if (phrase === undefined) return key;
  const text = typeof phrase === "string" ? phrase : (phrase[plural.select(Number(values.count))] ?? phrase.other);
  return text.replace(/\{(\w+)\}/g, (whole, name) => isolated(values[name] ?? whole));
}

/** A name in other letters must not turn the sentence around it (UAX #9, FSI and PDI); a link must stay one where it is read as text. @param {string | number} value */
function isolated(value) {
  return RIGHT_TO_LEFT.has(language) && !/^https?:/.test(String(value)) ? `\u2068${value}\u2069` : String(value);
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
