/** Asks before something that cannot be taken back, and says what will happen. */

import { make } from "../../js/dom.js";
import { t } from "../../js/language.js";

/**
 * @param {{title: string, text: string, yes: string, values?: Record<string, string | number>}} words keys
 * @returns {Promise<boolean>} whether it is to be done
 */
export function confirmed({ title, text, yes, values }) {
  const dialog = make("dialog", { class: "dialog confirmation", role: "alertdialog", "aria-labelledby": "confirmation-title", "aria-describedby": "confirmation-text", data: { dialog: "confirmation" } });
  const cancel = make("button", { class: "button", type: "button", text: "cancel", data: { action: "cancel" }, on: { click: () => dialog.close() } });
  const accept = make("button", { class: "button danger", type: "button", text: yes, data: { action: "confirm" }, on: { click: () => dialog.close("yes") } });
  dialog.append(
    make("h2", { id: "confirmation-title" }, t(title, values)),
    make("p", { id: "confirmation-text" }, t(text, values)),
    make("div", { class: "dialog-buttons" }, cancel, accept),
  );
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    });
  });
}
