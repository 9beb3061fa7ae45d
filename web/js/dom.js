/** Making elements. Text goes in as text only; styles by class; words by key, so that they follow the language. */

import { t } from "./language.js";

/**
 * @typedef {object} Properties
 * @property {string} [class]
 * @property {string} [text] key of the words shown
 * @property {string} [label] key of the words for those who cannot see it
 * @property {string} [placeholder] key
 * @property {Record<string, (event: any) => void>} [on] event handlers
 * @property {Record<string, string>} [data]
 */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Properties & Record<string, unknown>} [properties] others become attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { class: className, text, label, placeholder, on, data, ...attributes } = properties;
  if (className) element.className = className;
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  if (text) setText(element, text);
  if (label) setLabel(element, label);
  if (placeholder) {
    element.dataset.placeholder = placeholder;
    element.setAttribute("placeholder", t(placeholder));
  }
  for (const [type, handler] of Object.entries(on ?? {})) element.addEventListener(type, handler);
  element.append(...children);
  return element;
}

/** Shows these words. The same ones again cost nothing: the page is not laid out anew for them. @param {Element} element @param {string} words */
export function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** @param {HTMLElement} element @param {string} key */
export function setText(element, key) {
  element.dataset.text = key;
  write(element, t(key));
}

/** @param {HTMLElement} element @param {string} key */
export function setLabel(element, key) {
  element.dataset.label = key;
  const words = t(key);
  if (element.getAttribute("aria-label") === words) return;
  element.setAttribute("aria-label", words);
  if (element instanceof HTMLButtonElement) element.title = words;
}

/** A custom element of ours, with its type. @template {HTMLElement} E @param {string} tag @param {new () => E} type @returns {E} */
export function makeElement(tag, type) {
  const element = document.createElement(tag);
  if (!(element instanceof type)) throw new TypeError(`${tag} is not defined yet`);
  return element;
}
