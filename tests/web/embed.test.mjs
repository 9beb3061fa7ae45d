import assert from "node:assert/strict";
import { test } from "node:test";
import { Embedding, mayEmbed, readCommand, situation } from "../../web/js/embed.js";
import { Store } from "../../web/js/state.js";

const ORIGIN = "https://example.org";

/** A window in a frame: hears what is dispatched, keeps what it says to its parent. */
class Frame extends EventTarget {
  posted = [];
  parent = { postMessage: (data, origin) => this.posted.push({ ...data, to: origin }) };

  /** Said by the page around us, unless by somebody else. */
  hear(data, { origin = ORIGIN, source = this.parent } = {}) {
    this.dispatchEvent(Object.assign(new Event("message"), { data, origin, source }));
    return new Promise((done) => setTimeout(done));
  }

  of(event) {
    return this.posted.filter((each) => each.event === event);
  }
}

/** The edge of a call: what the embedding presses, noted. */
class PressedCall {
  store = new Store({ room: "garden" });
  pressed = [];

  join(identity) {
    this.pressed.push(["join", identity.name]);
    this.store.set({ phase: "call", self: "me", name: identity.name });
  }

  leave() {
    this.pressed.push(["leave"]);
    this.store.set({ phase: "ended", ended: "left" });
  }

  capture = {
    toggleMicrophone: async () => {
      this.pressed.push(["microphone"]);
      this.store.set({ microphone: this.store.state.microphone === "on" ? "off" : "on" });
    },
    toggleCamera: async () => {
      this.pressed.push(["camera"]);
      this.store.set({ camera: this.store.state.camera === "on" ? "off" : "on" });
    },
  };

  showPanel(panel) {
    this.pressed.push(["panel", panel]);
  }
}

function embedded(allowed = ORIGIN) {
  const frame = new Frame();
  const call = new PressedCall();
  let now = 0;
  new Embedding(call, { allowed, frame, now: () => now }).start();
  return { frame, call, wait: (ms) => (now += ms) };
}

test("only named origins may embed", () => {
  assert.equal(mayEmbed("https://a.org https://b.org:8443", "https://b.org:8443"), true);
  assert.equal(mayEmbed("https://a.org", "https://a.org:8443"), false);
  assert.equal(mayEmbed("https://a.org", "http://a.org"), false);
  assert.equal(mayEmbed("", "https://a.org"), false);
  assert.equal(mayEmbed("*", "https://a.org"), true);
  assert.equal(mayEmbed("*", "null"), false);
});

test("commands are read strictly", () => {
  assert.deepEqual(readCommand({ turnd: 1, command: "join", name: "Ada", camera: true, id: 7 }), { command: "join", name: "Ada", camera: true, id: 7 });
  assert.deepEqual(readCommand({ turnd: 1, command: "hello" }), { command: "hello" });
  for (const other of [null, "text", 5, {}, { turnd: 2, command: "hello" }, { command: "hello" }]) assert.equal(readCommand(other), null);
  for (const fields of [
    { command: "erase" },
    { command: "constructor" },
    { command: 5 },
    { command: "join" },
    { command: "join", name: "  " },
    { command: "join", name: "x".repeat(65) },
    { command: "join", name: "Ada", microphone: "yes" },
    { command: "microphone" },
    { command: "panel", panel: "settings" },
    { command: "language", language: "tlh" },
    { command: "language", language: "toString" },
    { command: "theme", theme: "pink" },
    { command: "hello", id: "7" },
  ]) {
    assert.equal(readCommand({ turnd: 1, ...fields }), "malformed", JSON.stringify(fields));
  }
});

test("nothing but that a room is here is told before an allowed page speaks", async () => {
  const { frame, call } = embedded();
  call.store.set({ phase: "call" });
  await frame.hear({ turnd: 1, command: "hello" }, { origin: "https://evil.org" });
  await frame.hear({ turnd: 1, command: "hello" }, { source: {} });
  await frame.hear({ turnd: 1, command: "leave" }, { origin: "https://evil.org" });
  assert.deepEqual(frame.posted, [{ turnd: 1, event: "ready", to: "*" }]);
  assert.deepEqual(call.pressed, []);
});

test("a page that says hello is told how things stand, and then what changes, at its own origin alone", async () => {
  const { frame, call } = embedded();
  await frame.hear({ turnd: 1, command: "hello", id: 1 });
  assert.deepEqual(frame.posted.slice(1).map(({ event }) => event), ["done", "phase", "participants", "speaker", "microphone", "camera"]);
  assert.ok(frame.posted.slice(1).every(({ to }) => to === ORIGIN));
  frame.posted.length = 0;
  call.store.set({ phase: "call", self: "me", name: "Ada", participants: [{ id: "b", name: "Bob" }], speaker: "b" });
  await Promise.resolve();
  assert.deepEqual(frame.of("participants").map(({ count }) => count), [2]);
  assert.deepEqual(frame.of("speaker").map(({ name, self }) => [name, self]), [["Bob", false]]);
  frame.posted.length = 0;
  call.store.set({ unread: 3 });
  await Promise.resolve();
  assert.deepEqual(frame.posted, []);
});

test("commands press what a person would press, and only if it is not so already", async () => {
  const { frame, call } = embedded();
  await frame.hear({ turnd: 1, command: "join", name: " Ada ", microphone: true });
  await frame.hear({ turnd: 1, command: "join", name: "Ada again" });
  await frame.hear({ turnd: 1, command: "microphone", on: true });
  await frame.hear({ turnd: 1, command: "microphone", on: false });
  await frame.hear({ turnd: 1, command: "panel", panel: "chat" });
  await frame.hear({ turnd: 1, command: "leave" });
  await frame.hear({ turnd: 1, command: "leave" });
  assert.deepEqual(call.pressed, [["microphone"], ["join", "Ada"], ["microphone"], ["panel", "chat"], ["leave"]]);
  assert.deepEqual(frame.of("phase").map(({ phase, reason }) => [phase, reason]), [["lobby", ""], ["call", ""], ["ended", "left"]]);
});

test("who says too much is told so, and heard again later", async () => {
  const { frame, wait, call } = embedded();
  for (let each = 0; each < 31; each++) await frame.hear({ turnd: 1, command: "panel", panel: "" });
  assert.deepEqual(frame.of("error").map(({ code }) => code), ["rate"]);
  wait(200);
  await frame.hear({ turnd: 1, command: "microphone", on: true });
  assert.deepEqual(call.pressed.at(-1), ["microphone"]);
});

test("refusals and devices that fail are errors, told once each", () => {
  const { state } = new Store({ refused: "room-full", problem: { what: "camera", reason: "NotFoundError" } });
  assert.deepEqual(
    situation(state).filter(({ event }) => event === "error"),
    [{ event: "error", code: "room-full" }, { event: "error", code: "NotFoundError", device: "camera" }],
  );
});
