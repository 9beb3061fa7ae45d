import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatLog, MAX_SHOWN, MAX_TEXT, receivers } from "../../web/js/chat-log.js";
import { SignallingError } from "../../web/js/protocol.js";
import { Store } from "../../web/js/state.js";

/** A connection that can be up or down; what was sent while up is kept. */
class Line {
  up = true;
  sent = [];
  answered = false;

  request(message) {
    if (!this.up) return Promise.reject(new SignallingError("disconnected", "down"));
    this.sent.push(message.text);
    return this.answered ? Promise.resolve(message) : new Promise(() => {});
  }
}

function makeLog() {
  const line = new Line();
  const store = new Store({ self: "me", name: "Ann" });
  return { line, store, log: new ChatLog(line, store), texts: () => store.state.chat.map(({ text }) => text) };
}

const message = (id, text, participant = "other") => ({ id, participant, name: "Bob", text, time: 1000 + id });

test("what is written shows at once, as pending, and is settled by its echo", () => {
  const { log, store, line } = makeLog();
  log.write("hello");
  assert.equal(store.state.chat[0].pending, true);
  log.receive({ id: 1, participant: "me", name: "Ann", text: "hello", time: 1 });
  assert.deepEqual(store.state.chat.map(({ text, pending }) => [text, pending]), [["hello", undefined]]);
  assert.deepEqual(line.sent, ["hello"]);
});

test("a text that the server cleaned does not stay pending", async () => {
  const { log, line, store } = makeLog();
  line.answered = true;
  log.write("bell\u0007");
  log.receive({ id: 1, participant: "me", name: "Ann", text: "bell", time: 1 });
  await new Promise(setImmediate);
  assert.deepEqual(store.state.chat.map(({ id }) => id), [1]);
});

test("what others write counts as unread until the chat is open", () => {
  const { log, store } = makeLog();
  log.receive(message(1, "a"));
  assert.equal(store.state.unread, 1);
  store.set({ panel: "chat", unread: 0 });
  log.receive(message(2, "b"));
  assert.equal(store.state.unread, 0);
});

test("what was written without a connection goes out after it is back", async () => {
  const { log, line, texts } = makeLog();
  line.up = false;
  log.write("late");
  await new Promise(setImmediate);
  line.up = true;
  log.joined([]);
  await new Promise(setImmediate);
  assert.deepEqual(line.sent, ["late"]);
  assert.deepEqual(texts(), ["late"]);
});

test("what had arrived before the break is not sent twice", async () => {
  const { log, line, store } = makeLog();
  line.up = false;
  log.write("once");
  await new Promise(setImmediate);
  line.up = true;
  log.joined([{ id: 7, participant: "me", name: "Ann", text: "once", time: 2 }]);
  await new Promise(setImmediate);
  assert.deepEqual(line.sent, []);
  assert.deepEqual(store.state.chat.map(({ id }) => id), [7]);
});

test("history is shown once, however often it comes, and is not unread at first", () => {
  const { log, store, texts } = makeLog();
  log.joined([message(1, "a"), message(2, "b")]);
  assert.equal(store.state.unread, 0);
  log.joined([message(1, "a"), message(2, "b"), message(3, "c")]);
  assert.deepEqual(texts(), ["a", "b", "c"]);
  assert.equal(store.state.unread, 1);
});

test("a restarted server that forgot the chat does not empty it", () => {
  const { log, texts } = makeLog();
  log.joined([message(1, "a")]);
  log.joined([]);
  assert.deepEqual(texts(), ["a"]);
});

test("no more than the bound is kept", () => {
  const { log, store } = makeLog();
  for (let id = 0; id <= MAX_SHOWN; id++) log.receive(message(id, String(id)));
  assert.equal(store.state.chat.length, MAX_SHOWN);
  assert.equal(store.state.chat.at(-1).text, String(MAX_SHOWN));
});

const BOB = { id: "bob", name: "Bob", microphone: false, camera: false, screen: false, connected: true };

test("what is meant for one says so from the first moment, and goes to nobody else", () => {
  const { log, line, store } = makeLog();
  store.set({ participants: [BOB] });
  const requests = [];
  line.request = (message) => (requests.push(message), new Promise(() => {}));
  log.address("bob");
  log.write("psst");
  assert.deepEqual(requests.map(({ to, text }) => [to, text]), [["bob", "psst"]]);
  assert.deepEqual([store.state.panel, store.state.chat[0].to, store.state.chat[0].receiver], ["chat", "bob", "Bob"]);
  log.receive({ id: 1, participant: "me", name: "Ann", text: "psst", time: 1, to: "bob" });
  assert.deepEqual(store.state.chat.map(({ id, receiver, pending }) => [id, receiver, pending]), [[1, "Bob", undefined]]);
});

test("the copy of a line to all does not confirm the same line to one", () => {
  const { log, store } = makeLog();
  store.set({ participants: [BOB] });
  log.write("yes", "bob");
  log.receive({ id: 1, participant: "me", name: "Ann", text: "yes", time: 1 });
  assert.deepEqual(store.state.chat.map(({ id, pending }) => [id, pending]), [[1, undefined], ["pending-1", true]]);
});

test("what was refused stays, says why, and goes again when asked to", async () => {
  const { log, line, store } = makeLog();
  line.request = () => Promise.reject(new SignallingError("forbidden", "no"));
  log.write("hello");
  await new Promise(setImmediate);
  const [{ id, failed, pending }] = store.state.chat;
  assert.deepEqual([failed, pending], ["forbidden", undefined]);
  log.joined([]);
  assert.equal(store.state.chat[0].failed, "forbidden", "a break does not send it");
  const sent = [];
  line.request = (message) => (sent.push(message.text), new Promise(() => {}));
  log.again(id);
  assert.deepEqual([sent, store.state.chat[0].pending, store.state.chat[0].failed], [["hello"], true, undefined]);
  log.discard(id);
  assert.deepEqual(store.state.chat, []);
});

test("after a restart of the server under another id, what we wrote is still ours and is not doubled", async () => {
  const { log, line, store } = makeLog();
  log.joined([]);
  log.write("first");
  log.receive({ id: 1, participant: "me", name: "Ann", text: "first", time: 1 });
  line.up = false;
  log.write("second");
  await new Promise(setImmediate);
  line.up = true;
  store.set({ self: "me-again" });
  log.joined([
    { id: 1, participant: "me", name: "Ann", text: "first", time: 1 },
    { id: 2, participant: "me", name: "Ann", text: "second", time: 2 },
    { id: 3, participant: "other", name: "Bob", text: "third", time: 3 },
  ]);
  assert.deepEqual(store.state.chat.map(({ text, own, pending }) => [text, own, pending]), [
    ["first", true, undefined], ["second", true, undefined], ["third", false, undefined],
  ]);
  assert.deepEqual([line.sent.filter((text) => text === "second"), store.state.unread], [[], 1]);
});

test("somebody of our name who writes the same does not confirm our line", async () => {
  const { log, line, store } = makeLog();
  line.up = false;
  log.write("hi");
  await new Promise(setImmediate);
  line.up = true;
  log.joined([{ id: 1, participant: "namesake", name: "Ann", text: "hi", time: 1 }]);
  assert.deepEqual(line.sent, ["hi"]);
  assert.equal(store.state.chat.length, 2);
});

test("a file that is gone says so, told at once or found out after a break", () => {
  const { log, store } = makeLog();
  const file = (id) => ({ ...message(id, ""), file: { id: `f${id}`, name: "a.pdf", bytes: 1, expires: 9 } });
  log.receive(file(1));
  log.receive(file(2));
  log.fileGone("f1");
  assert.deepEqual(store.state.chat.map(({ gone }) => gone), [true, undefined]);
  log.joined([message(1, ""), { ...file(2), file: { ...file(2).file, expires: 5 } }]);
  assert.deepEqual(store.state.chat.map((each) => each.file.expires), [9, 5]);
});

test("a long text is cut between characters, not inside of one", () => {
  const { log, store } = makeLog();
  log.write("🙂".repeat(MAX_TEXT + 1));
  assert.equal([...store.state.chat[0].text].length, MAX_TEXT);
  assert.ok(store.state.chat[0].text.endsWith("🙂"));
});

test("what arrives while the page is hidden is unread although the chat is open", () => {
  const { log, store } = makeLog();
  store.set({ panel: "chat" });
  log.looking = false;
  log.receive(message(1, "a"));
  assert.equal(store.state.unread, 1);
});

test("a viewer can answer who wrote to them, and nobody else whom they are not shown", () => {
  const { log, store } = makeLog();
  store.set({ broadcast: true, role: "viewer", participants: [BOB] });
  log.receive({ ...message(1, "for all"), participant: "zoe", name: "Zoé" });
  log.receive({ ...message(2, "for you"), participant: "max", name: "Max", to: "me" });
  assert.deepEqual(receivers(store.state).map(({ id }) => id), ["bob", "max"]);
});

test("after a restart whom we wrote to may be late; what the history confirms meanwhile is not sent again", async (context) => {
  const { log, line, store } = makeLog();
  context.mock.timers.enable({ apis: ["setTimeout"] });
  log.joined([]);
  line.up = false;
  log.write("psst", "bob");
  await new Promise(setImmediate);
  const sent = [];
  line.request = ({ text }) => (sent.push(text), Promise.reject(new SignallingError("unknown", "nobody")));
  log.joined([]);
  await new Promise(setImmediate);
  assert.deepEqual([sent, store.state.chat[0].pending], [["psst"], true]);
  context.mock.timers.tick(2000);
  await new Promise(setImmediate);
  assert.equal(sent.length, 2);
  log.joined([{ id: 1, participant: "me", name: "Ann", text: "psst", time: 1, to: "bob" }]);
  context.mock.timers.tick(2000);
  await new Promise(setImmediate);
  assert.deepEqual([sent.length, store.state.chat.map(({ id }) => id)], [2, [1]]);
});
