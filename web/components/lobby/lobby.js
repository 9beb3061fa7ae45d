/** Before the call: who we are, how we look and sound, and the way in, also without camera and microphone. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { passwordField } from "../password/password-field.js";
import { preferences } from "../../js/preferences.js";

/** @typedef {import("../../js/state.js").State} State */

const MAX_NAME = 64;

class Lobby extends View {
  #room = make("p", { class: "lobby-room" });
  #name = make("input", { class: "field", id: "name", maxlength: String(MAX_NAME), autocomplete: "name", required: true, enterkeyhint: "go", data: { field: "name" } });
  #password = make("input", { class: "field", type: "password", autocomplete: "off", data: { field: "password" } });
  #problem = document.createElement("turnd-problem");
  #refused = make("p", { class: "lobby-note is-warning", role: "alert", data: { banner: "refused" } });
  #waiting = make("p", { class: "lobby-note", role: "status", data: { banner: "waiting" } });
  #about = make("p", { class: "lobby-note", text: "lobby.webinar" });
  #join = make("button", { class: "button primary large", type: "submit", data: { action: "join" } });
  #silent = make("button", { class: "button large", type: "button", text: "lobby.join-silently", data: { action: "join-silently" } });

  /** @override */
  build() {
    const { store } = this.call;
    this.#problem.className = "lobby-note is-warning";
    const protect = make("details", { class: "lobby-more" }, make("summary", { text: "lobby.password" }), make("p", { class: "hint", text: "lobby.password.hint" }), passwordField(this.#password).element);
    this.#password.setAttribute("aria-labelledby", "lobby-password");
    protect.firstElementChild?.setAttribute("id", "lobby-password");
    const form = make(
      "form",
      { class: "lobby-form", novalidate: true },
      make("h1", { text: "lobby.title" }),
      this.#room,
      make("p", { class: "lobby-note", text: "lobby.as-host", hidden: !this.call.entry.pass.host_key }),
      this.#about,
      make("label", { class: "form-row" }, make("span", { class: "form-label", text: "lobby.name" }), this.#name),
      protect,
      this.#refused,
      this.#join,
      this.#silent,
      this.#waiting,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#enter(true);
    });
    this.#silent.addEventListener("click", () => this.#enter(false));
    this.#name.value = store.state.name;
    this.#name.addEventListener("input", () => {
      this.#name.removeAttribute("aria-invalid");
      store.set({ name: this.#name.value.trim(), refused: "" });
    });
    const picker = document.createElement("turnd-device-picker");
    const side = make("div", { class: "lobby-side" }, document.createElement("turnd-preview"), this.#problem, picker);
    const foot = make("footer", { class: "lobby-foot" }, make("a", { class: "home-link", href: "/", text: "lobby.other-room" }), make("a", { class: "home-link", href: "/diag", text: "diag.link" }), document.createElement("turnd-appearance"));
    const door = make("div", { class: "lobby-door" }, form, document.createElement("turnd-waiting"));
    this.append(make("main", { class: "lobby-columns" }, side, door), foot);
    this.#prepare();
  }

  /** @override @param {State} state */
  update(state) {
    const joining = state.phase === "joining";
    const nothing = state.microphone === "off" && state.camera === "off";
    this.#room.textContent = state.room;
    const refused = nothing && state.problem !== null;
    setText(this.#join, joining ? "lobby.joining" : refused ? "lobby.join-silently" : "lobby.join");
    this.#join.setAttribute("aria-busy", String(joining));
    this.#join.disabled = joining;
    this.#silent.disabled = joining;
    // Whoever turned both on and sees themselves does not need the other way in.
    this.#silent.hidden = !nothing || refused || this.#webinar;
    this.#about.hidden = !this.#webinar;
    this.#refused.hidden = state.refused === "" || state.refused === "password";
    if (state.refused) setText(this.#refused, this.#reason(state.refused));
    this.#waiting.hidden = !(joining && state.reconnecting);
    setText(this.#waiting, state.crowded ? "lobby.crowded" : "lobby.unreachable");
  }

  /** @param {string} code */
  #reason(code) {
    return ["name", "room-full", "version", "locked", "denied", "banned", "invitation"].includes(code) ? `refused.${code}` : "refused.other";
  }

  /** Turns on what was on last time, if that asks no question; not for who probably comes to watch. */
  async #prepare() {
    const { call } = this;
    if (this.#webinar) return;
    const remembered = preferences();
    if (!remembered.asked) return;
    const [microphone, camera] = await Promise.all([call.media.granted("microphone"), call.media.granted("camera")]);
    if (call.store.state.phase !== "lobby") return;
    if (microphone && camera && remembered.microphone && remembered.camera) await call.capture.startBoth();
    else if (camera && remembered.camera) await call.capture.toggleCamera();
    else if (microphone && remembered.microphone) await call.capture.toggleMicrophone();
  }

  /** @param {boolean} withDevices */
  async #enter(withDevices) {
    const { call } = this;
    const name = this.#name.value.trim();
    if (!name) {
      this.#name.setAttribute("aria-invalid", "true");
      this.#name.focus();
      call.store.set({ refused: "name" });
      return;
    }
    const { microphone, camera, problem } = call.store.state;
    if (!withDevices) call.capture.stopAll();
    else if (!this.#webinar && microphone === "off" && camera === "off" && !problem && !this.#declined()) {
      if (!(await call.capture.startBoth()) && call.store.state.problem) return;
    }
    // An empty field keeps the password given before, so that coming back does not ask again.
    call.join({ name, password: this.#password.value || undefined });
  }

  /** Whoever opens it speaks, all others watch; nobody is asked for a camera before it is clear who we are. */
  get #webinar() {
    return this.call.settings?.mode === "broadcast";
  }

  /** Both were turned off by hand: that is an answer. */
  #declined() {
    const { asked, microphone, camera } = preferences();
    return asked && !microphone && !camera;
  }
}

customElements.define("turnd-lobby", Lobby);
