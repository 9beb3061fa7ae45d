/** Finds out what is wrong: tests of the line and of the devices, one sentence, and a report to copy. Nothing begins without a press. */

import { assetUrl } from "../../js/asset.js";
import { make, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { languageChanges, t } from "../../js/language.js";
import { testCamera, testMicrophone } from "../../js/diag/capture.js";
import { CHECKS } from "../../js/diag/finding.js";
import { testLine } from "../../js/diag/line.js";
import { details, reportText, sentence } from "../../js/diag/report.js";
import { verdict } from "../../js/diag/verdict.js";

/** @typedef {import("../../js/diag/finding.js").Check} Check */
/** @typedef {import("../../js/diag/finding.js").Finding} Finding */
/** @typedef {import("../../js/diag/finding.js").Findings} Findings */
/** @typedef {import("../../js/icons.js").IconName} IconName */

/** @type {Check[]} */
const DEVICES = ["camera", "microphone"];
/** @type {Record<string, IconName>} */
const SIGNS = { good: "check", poor: "warning", bad: "close" };
const SAID_MS = 2500;

class Row {
  /** @type {Finding | null} */
  finding = null;
  running = false;
  #sign = icon("check");
  #outcome = make("span", { class: "diag-outcome" });
  #details = make("span", { class: "diag-details" });

  /** @param {Check} check */
  constructor(check) {
    const words = make("span", { class: "diag-name", text: `diag.check.${check}` });
    this.element = make("li", { class: "diag-row", data: { check } }, this.#sign, words, " ", this.#outcome, " ", this.#details);
    this.show();
  }

  show() {
    const outcome = this.running ? "running" : (this.finding?.outcome ?? "");
    this.element.dataset.outcome = outcome;
    setText(this.#outcome, `diag.outcome.${outcome || "untested"}`);
    this.#details.textContent = this.finding && !this.running ? details(this.finding) : "";
    if (SIGNS[outcome]) draw(this.#sign, SIGNS[outcome]);
  }
}

class Diag extends HTMLElement {
  #rows = new Map(CHECKS.map((check) => [check, new Row(check)]));
  #sentence = make("p", { class: "diag-sentence", data: { field: "sentence" } });
  #sign = icon("check");
  #verdict = make("section", { class: "card diag-verdict", "aria-labelledby": "diag-title" });
  #line = make("button", { class: "button primary large", type: "button", text: "diag.start", data: { action: "test-line" }, on: { click: () => this.#testLine() } });
  #copy = make("button", { class: "button large", type: "button", text: "diag.copy", data: { action: "copy-report" }, on: { click: () => this.#copyReport() } });
  #devices = make("button", { class: "button large", type: "button", text: "diag.devices.start", data: { action: "test-devices" }, on: { click: () => this.#testDevices() } });
  #level = make("span", { class: "diag-level-bar" });
  #meter = make("div", { class: "diag-level", "aria-hidden": "true", hidden: true }, this.#level);
  #video = make("video", { class: "diag-video", autoplay: true, playsinline: true, muted: true, hidden: true, "aria-hidden": "true" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #said;

  connectedCallback() {
    if (this.childElementCount > 0) return;
    const home = make("a", { class: "diag-brand", href: "/" }, make("img", { src: assetUrl("styles/mark.svg"), alt: "", width: "32", height: "32" }), "turnd");
    this.#verdict.append(
      make("h1", { id: "diag-title", text: "diag.title" }),
      make("div", { class: "diag-says", role: "status" }, this.#sign, this.#sentence),
      make("div", { class: "diag-buttons" }, this.#line, this.#copy),
    );
    this.#video.muted = true;
    const line = make("section", { class: "card" }, make("h2", { text: "diag.line" }), this.#list((check) => !DEVICES.includes(check)));
    const devices = make(
      "section",
      { class: "card" },
      make("h2", { text: "diag.devices" }),
      make("p", { class: "hint", text: "diag.devices.hint" }),
      this.#list((check) => DEVICES.includes(check)),
      this.#video,
      this.#meter,
      this.#devices,
    );
    this.append(make("header", { class: "diag-head" }, home), make("main", { class: "diag-main" }, this.#verdict, line, devices));
    this.append(make("footer", { class: "diag-foot" }, document.createElement("turnd-appearance")));
    languageChanges.addEventListener("change", () => this.#show());
    this.#show();
  }

  /** @param {(check: Check) => boolean} wanted */
  #list(wanted) {
    return make("ul", { class: "diag-list" }, ...CHECKS.filter(wanted).map((check) => /** @type {Row} */ (this.#rows.get(check)).element));
  }

  /** @returns {Findings} */
  get #findings() {
    return Object.fromEntries([...this.#rows].flatMap(([check, { finding }]) => (finding ? [[check, finding]] : [])));
  }

  #show() {
    document.title = `${t("diag.title")} · turnd`;
    for (const row of this.#rows.values()) row.show();
    const running = [...this.#rows.values()].some((row) => row.running);
    const says = running ? null : verdict(this.#findings);
    this.#verdict.dataset.verdict = says?.outcome ?? "";
    if (says) draw(this.#sign, SIGNS[says.outcome]);
    const words = running ? t("diag.running") : says ? sentence(this.#findings) : t("diag.intro");
    if (this.#sentence.textContent !== words) this.#sentence.textContent = words;
    this.#copy.hidden = !says;
    setText(this.#line, this.#rows.get("websocket")?.finding ? "diag.again" : "diag.start");
  }

  /** @param {Check[]} checks @param {() => Promise<unknown>} test @param {HTMLButtonElement} button */
  async #run(checks, test, button) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    for (const check of checks) Object.assign(/** @type {Row} */ (this.#rows.get(check)), { running: true, finding: null });
    this.#show();
    try {
      await test();
    } finally {
      for (const check of checks) Object.assign(/** @type {Row} */ (this.#rows.get(check)), { running: false });
      button.setAttribute("aria-busy", "false");
      this.#show();
    }
  }

  /** @param {Check} check @param {Finding} finding */
  #found(check, finding) {
    Object.assign(/** @type {Row} */ (this.#rows.get(check)), { finding, running: false });
    this.#show();
  }

  #testLine() {
    const checks = CHECKS.filter((check) => !DEVICES.includes(check));
    return this.#run(checks, () => testLine((check, finding) => this.#found(check, finding)), this.#line);
  }

  #testDevices() {
    const test = async () => {
      this.#video.hidden = this.#meter.hidden = false;
      const camera = testCamera(this.#video).then((finding) => this.#found("camera", finding));
      const level = (/** @type {number} */ loud) => this.#level.style.setProperty("transform", `scaleX(${loud.toFixed(3)})`);
      await Promise.all([camera, testMicrophone(level).then((finding) => this.#found("microphone", finding))]);
      this.#video.hidden = this.#meter.hidden = true;
    };
    return this.#run(DEVICES, test, this.#devices);
  }

  async #copyReport() {
    const text = reportText(this.#findings, { host: location.host, browser: navigator.userAgent, at: new Date() });
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    setText(this.#copy, copied ? "diag.copied" : "link.not-copied");
    clearTimeout(this.#said);
    this.#said = setTimeout(() => setText(this.#copy, "diag.copy"), SAID_MS);
  }
}

customElements.define("turnd-diag", Diag);
