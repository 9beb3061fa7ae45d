/**
 * What a person does in a room beside sending media: hands, reactions, questions, and as a host the rules of the room. The store
 * changes when the server says so; a refusal becomes a notice.
 */

import { SignallingError } from "./protocol.js";

/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./protocol.js").Right} Right */
/** @typedef {import("./protocol.js").ModerationAction} ModerationAction */
/** @typedef {import("./protocol.js").ReactionKind} ReactionKind */
/** @typedef {import("./protocol.js").Invitation} Invitation */
/** @typedef {import("./protocol.js").Question} Question */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */
/** @typedef {import("./state.js").Store} Store */

/** The mark of what hosts ask for, which nothing answers but a refusal. */
const HOSTS = "as-host";

export class RoomActions {
  /** @param {SignallingClient} signalling @param {Store} store @param {(key: string) => void} notify */
  constructor(signalling, store, notify) {
    this.signalling = signalling;
    this.store = store;
    this.notify = notify;
    signalling.on("error", ({ code, request }) => {
      // Who is not there any more (`unknown`) is seen to be gone.
      if (request === HOSTS && code !== "unknown") this.notify("notice.not-possible");
    });
    signalling.on("rules", ({ rules }) => store.set({ rules }));
    signalling.on("moderation", ({ moderation }) => store.set({ moderation }));
    signalling.on("waiting", (waiting) => store.set({ waiting: { host: waiting.host } }));
    signalling.on("question", ({ event, question }) => this.#question(event, question));
    signalling.on("votes", ({ votes }) => {
      const questions = store.state.questions.map((each) => (each.id in votes ? { ...each, votes: votes[each.id] } : each));
      store.set({ questions });
    });
  }

  /** Asks as a host: a press that comes to nothing says so. @param {Message} message */
  #ask(message) {
    if (!this.signalling.send({ ...message, request: HOSTS })) this.notify("notice.not-connected");
  }

  /** @param {boolean} up */
  raiseHand(up) {
    this.signalling.send({ type: "hand", up });
  }

  /** @param {ReactionKind} reaction */
  react(reaction) {
    this.signalling.send({ type: "reaction", reaction });
  }

  /** @param {ModerationAction} action @param {string} [participant] absent: all who are not hosts */
  moderate(action, participant) {
    this.#ask({ type: "moderate", action, participant });
  }

  /** @param {{locked?: boolean, lobby?: boolean, password?: string, rights?: Partial<Record<Right, boolean>>}} change */
  changeRules(change) {
    this.#ask({ type: "rules", ...change });
  }

  /** @param {boolean} on @param {string} [waiting] absent: all who wait */
  admit(on, waiting) {
    this.#ask({ type: "admit", waiting, on });
  }

  /** @param {string} ban */
  liftBan(ban) {
    this.#ask({ type: "lift-ban", ban });
  }

  /** @param {number} seconds @param {string} [label] @returns {Promise<Invitation | null>} null when it was refused */
  async invite(seconds, label) {
    try {
      return (await this.signalling.request({ type: "invite", seconds, label })).invitation;
    } catch (error) {
      if (!(error instanceof SignallingError)) throw error;
      this.notify("notice.not-invited");
      return null;
    }
  }

  /** @param {string} invitation id */
  revoke(invitation) {
    this.#ask({ type: "revoke", invitation });
  }

  endForAll() {
    this.#ask({ type: "end" });
  }

  /** @param {string} text @returns {Promise<boolean>} whether it was taken */
  async ask(text) {
    try {
      await this.signalling.request({ type: "ask", text });
      return true;
    } catch (error) {
      if (!(error instanceof SignallingError)) throw error;
      return false;
    }
  }

  /** @param {string} question @param {boolean} on */
  vote(question, on) {
    const questions = this.store.state.questions.map((each) => (each.id === question ? { ...each, voted: on } : each));
    if (this.signalling.send({ type: "vote", question, on })) this.store.set({ questions });
  }

  /** @param {string} question @param {boolean} on */
  markAnswered(question, on) {
    this.signalling.send({ type: "answered", question, on });
  }

  /** @param {string} question */
  withdraw(question) {
    this.signalling.send({ type: "withdraw", question });
  }

  /** How many questions hosts have not seen, with this one. @param {Question} question */
  #unseen({ participant }) {
    const { role, panel, self, unseenQuestions } = this.store.state;
    return role !== "host" || panel === "questions" || participant === self ? unseenQuestions : unseenQuestions + 1;
  }

  /** @param {"asked" | "changed" | "removed"} event @param {Question} question */
  #question(event, question) {
    const { questions } = this.store.state;
    const known = questions.find(({ id }) => id === question.id);
    // What we voted for the server says in `joined` only: here it speaks to all.
    const ours = { ...question, voted: known?.voted ?? false };
    if (event === "removed") this.store.set({ questions: questions.filter(({ id }) => id !== question.id) });
    else if (known) this.store.set({ questions: questions.map((each) => (each.id === question.id ? ours : each)) });
    else this.store.set({ questions: [...questions, ours], unseenQuestions: this.#unseen(ours) });
  }
}
