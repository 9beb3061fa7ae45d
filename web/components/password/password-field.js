/** A field for a password, with a button that shows what was typed: a room's password is a word among friends, typed on phones. */

import { make, setLabel } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";

/** @param {HTMLInputElement} input @returns {{element: HTMLElement, reveal: (shown: boolean) => void}} */
export function passwordField(input) {
  const eye = icon("eye");
  const button = make("button", { class: "round quiet password-show", type: "button", "aria-pressed": "false", data: { action: "show-password" } }, eye);
  /** @param {boolean} shown */
  const reveal = (shown) => {
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    setLabel(button, shown ? "password.hide" : "password.show");
    draw(eye, shown ? "eye-off" : "eye");
  };
  button.addEventListener("click", () => reveal(input.type === "password"));
  reveal(false);
  return { element: make("div", { class: "password-field" }, input, button), reveal };
}
