/** The question box of a webinar: the audience asks and votes, the hosts see first what most want to know. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/protocol.js").Question} Question */

export const MAX_QUESTION = 500;
const SAY_LEFT_BELOW = 100;
/** So long after somebody moved over the list or typed in it no line changes its place under their hand. */
const STILL_MS = 3000;

/** What most want to know first, among equals what was asked first. @param {Question} a @param {Question} b */
export function byVotes(a, b) {
  return b.votes - a.votes || a.time - b.time;
}

/** The order that is shown, with what is new at the end. @param {string[]} shown @param {Question[]} questions in their order */
export function inPlace(shown, questions) {
  const place = new Map(shown.map((id, at) => [id, at]));
  return [...questions].sort((a, b) => (place.get(a.id) ?? Infinity) - (place.get(b.id) ?? Infinity) || 0);
}

class Questions extends View {
  #open = make("ol", { class: "questions-list" });
  #answered = make("ol", { class: "questions-list" });
  #answeredCount = make("summary");
  #answeredPart = make("details", { class: "questions-answered" }, this.#answeredCount, this.#answered);
  #empty = make("p", { class: "chat-empty" });
  #scroll = make("div", { class: "questions-scroll", tabindex: "0", role: "group", label: "questions" }, this.#empty, this.#open, this.#answeredPart);
  #hint = make("p", { class: "hint chat-hint", role: "status", id: "questions-hint" });
  #input = make("textarea", { class: "field chat-input", rows: "2", maxlength: String(MAX_QUESTION), dir: "auto", label: "questions.ask", placeholder: "questions.ask", "aria-describedby": "questions-hint", data: { field: "question" } });
  #ask = make("button", { class: "button primary", type: "submit", text: "questions.send", data: { action: "ask" } });
  /** @type {unknown[]} */
  #drawn = [];
  /** @type {string[]} */
  #order = [];
  #touchedAt = -Infinity;
  #failed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = () => this.call.showPanel("");
    const back = make("button", { class: "round panel-back", type: "button", label: "panel.back", data: { action: "back-from-questions" }, on: { click: close } }, icon("back"));
    const shut = make("button", { class: "round panel-close", type: "button", label: "panel.close", data: { action: "close-questions" }, on: { click: close } }, icon("close"));
    for (const type of ["pointermove", "pointerdown", "keydown"]) this.#scroll.addEventListener(type, () => this.#touched());
    const form = make("form", { class: "chat-form", on: { submit: (/** @type {Event} */ event) => this.#submit(event) } }, this.#hint, make("div", { class: "chat-row" }, this.#input, this.#ask));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#input.addEventListener("input", () => {
      this.#failed = false;
      this.#showHint();
    });
    this.append(make("header", { class: "panel-head" }, back, make("h2", { text: "questions" }), shut), this.#scroll, form);
  }

  /** @override @param {State} state */
  update(state) {
    const { questions, role, self, panel } = state;
    this.hidden = panel !== "questions";
    setLabel(this, "questions");
    this.#showHint();
    const drawn = [questions, role, self, currentLanguage()];
    if (this.hidden || drawn.every((each, at) => each === this.#drawn[at])) return;
    this.#drawn = drawn;
    this.#draw(state);
  }

  /** @param {State} state */
  #draw(state) {
    const sorted = [...state.questions].sort(byVotes);
    const shown = this.#isStill() ? inPlace(this.#order, sorted) : sorted;
    this.#order = shown.map(({ id }) => id);
    const open = shown.filter(({ answered }) => !answered);
    const answered = shown.filter((each) => each.answered);
    this.#place(this.#open, open, state);
    this.#place(this.#answered, answered, state);
    this.#empty.hidden = open.length > 0;
    this.#empty.textContent = t(answered.length > 0 ? "questions.all-answered" : "questions.empty");
    this.#answeredPart.hidden = answered.length === 0;
    this.#answeredCount.textContent = t("questions.answered", { count: answered.length });
  }

  /** A line that is there keeps its element, and with it the focus. @param {HTMLElement} list @param {Question[]} questions @param {State} state */
  #place(list, questions, state) {
    const known = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.question, child]));
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const kept = { action: focused?.dataset.action, question: focused?.closest("li")?.dataset.question };
    questions.forEach((question, at) => {
      const line = this.#line(question, state);
      known.get(question.id)?.replaceWith(line);
      known.delete(question.id);
      if (list.children[at] !== line) list.insertBefore(line, list.children[at] ?? null);
      if (kept.question === question.id && kept.action) {
        const again = line.querySelector(`[data-action="${kept.action}"]`);
        if (again instanceof HTMLElement) again.focus();
      }
    });
    for (const gone of known.values()) gone.remove();
  }

  /** @param {Question} question @param {State} state */
  #line(question, { role, self }) {
    const { id, name, text, votes, voted, answered, participant } = question;
    // The label says it in words.
    const count = make("span", { class: "question-votes", data: { count: String(votes) } });
    const vote = make("button", { class: "question-vote", type: "button", "aria-pressed": String(voted), data: { action: "vote" }, on: { click: () => this.call.room.vote(id, !voted) } }, icon("up"), count);
    vote.setAttribute("aria-label", t("questions.vote", { count: votes }));
    const who = make("bdi", { class: "chat-who" });
    who.textContent = participant === self ? t("you") : name;
    const words = make("p", { class: "question-text", dir: "auto" });
    words.textContent = text;
    const body = make("div", { class: "question-body" }, make("p", { class: "question-head" }, who), words);
    const choices = this.#choices(question, role === "host", participant === self);
    if (choices.length > 0) body.append(make("div", { class: "question-choices" }, ...choices));
    return make("li", { class: answered ? "question is-answered" : "question", data: { question: id } }, vote, body);
  }

  /** @param {Question} question @param {boolean} host @param {boolean} own */
  #choices({ id, text, answered }, host, own) {
    /** @param {string} action @param {string} words @param {() => void} press */
    const choice = (action, words, press) => {
      const button = make("button", { class: "button small quiet", type: "button", data: { action }, on: { click: press } });
      if (action === "answered" && !answered) button.append(icon("check"));
      button.append(make("span", { text: words }));
      button.setAttribute("aria-label", `${t(words)}: ${text}`);
      return button;
    };
    const take = choice(own ? "withdraw" : "remove-question", own ? "questions.withdraw" : "questions.remove", () => this.call.room.withdraw(id));
    if (!host) return own ? [take] : [];
    return [choice("answered", answered ? "questions.reopen" : "questions.mark", () => this.call.room.markAnswered(id, !answered)), take];
  }

  #isStill() {
    return performance.now() - this.#touchedAt < STILL_MS;
  }

  #touched() {
    this.#touchedAt = performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.isConnected && !this.hidden) this.#draw(this.call.store.state);
    }, STILL_MS);
  }

  #showHint() {
    const left = MAX_QUESTION - this.#input.value.length;
    const words = this.#failed ? t("questions.failed") : left < SAY_LEFT_BELOW ? t("chat.characters-left", { count: left }) : "";
    this.#hint.hidden = words === "";
    if (this.#hint.textContent !== words) this.#hint.textContent = words;
  }

  /** The words stay until the server has them. @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    if (!text || this.#ask.disabled) return;
    this.#ask.disabled = this.#input.readOnly = true;
    const taken = await this.call.room.ask(text);
    this.#ask.disabled = this.#input.readOnly = false;
    this.#failed = !taken;
    if (taken) this.#input.value = "";
    this.#showHint();
  }
}

customElements.define("turnd-questions", Questions);
