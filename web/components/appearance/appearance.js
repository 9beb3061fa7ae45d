/** Language and light, dark or high contrast: the same two choices on every page. */

import { make, setLabel } from "../../js/dom.js";
import { LANGUAGES, currentLanguage, languageChanges, t, useLanguage } from "../../js/language.js";
import { preferences, remember } from "../../js/preferences.js";
import { THEMES, isTheme, showTheme } from "../../js/themes.js";

class Appearance extends HTMLElement {
  #language = make("select", { class: "field compact", label: "language", data: { field: "language" } });
  #theme = make("select", { class: "field compact", label: "theme", data: { field: "theme" } });

  connectedCallback() {
    if (this.childElementCount === 0) this.#build();
    languageChanges.addEventListener("change", this.#draw);
    this.#draw();
  }

  disconnectedCallback() {
    languageChanges.removeEventListener("change", this.#draw);
  }

  #build() {
    this.#language.append(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
    this.#theme.append(...THEMES.map((theme) => new Option("", theme)));
    this.#language.addEventListener("change", () => {
      remember({ language: this.#language.value });
      useLanguage(this.#language.value);
    });
    this.#theme.addEventListener("change", () => {
      const theme = this.#theme.value;
      remember({ theme });
      if (isTheme(theme)) showTheme(theme);
    });
    this.append(this.#language, this.#theme);
  }

  #draw = () => {
    setLabel(this.#language, "language");
    setLabel(this.#theme, "theme");
    this.#language.value = currentLanguage();
    for (const option of this.#theme.options) option.textContent = t(`theme.${option.value || "system"}`);
    this.#theme.value = preferences().theme;
  };
}

customElements.define("turnd-appearance", Appearance);
