import assert from "node:assert/strict";
import { test } from "node:test";
import { FileTransfer, MAX_ATTACHMENTS, flawOf } from "../../web/js/file-transfer.js";
import { Store } from "../../web/js/state.js";
import { TusServer } from "./tus-double.mjs";

function makeTransfer() {
  const store = new Store({ self: "me", fileLimit: 1000 });
  const signalling = { url: "wss://host/r/room/ws", resumeToken: "token-1" };
  const server = new TusServer("https://host/r/room/files");
  const files = new FileTransfer(signalling, store, { send: server.send, now: () => 0 });
  return { store, signalling, server, files, uploads: () => store.state.uploads };
}

const file = (name, bytes = 10) => new File([new Uint8Array(bytes)], name);
const until = async (condition) => {
  while (!condition()) await new Promise(setImmediate);
};

test("the address of the room's files is made of that of its socket", () => {
  const { files } = makeTransfer();
  assert.equal(files.endpoint, "https://host/r/room/files");
  assert.equal(files.addressOf("a/b"), "https://host/r/room/files/a%2Fb");
});

test("several files go one after the other, in order", async () => {
  const { files, server, uploads } = makeTransfer();
  files.attach([file("a"), file("b"), file("c")]);
  files.sendAttachments("", "");
  assert.deepEqual(uploads().map(({ phase }) => phase), ["sending", "queued", "queued"]);
  await until(() => uploads().length === 0);
  assert.equal(server.methods, "POST PATCH POST PATCH POST PATCH");
  assert.deepEqual([...server.uploads.values()].map(({ metadata }) => metadata.filename), ["a", "b", "c"]);
});

test("what is too large or empty is not sent, and stays to be looked at", () => {
  const { files, store, uploads } = makeTransfer();
  files.attach([file("small"), file("large", 1001), file("empty", 0)]);
  assert.deepEqual(store.state.attachments.map((each) => flawOf(each.file, 1000)), ["", "too-large", "empty"]);
  files.sendAttachments("bob", "Bob");
  assert.deepEqual(store.state.attachments.map((each) => each.file.name), ["large", "empty"]);
  assert.deepEqual(uploads().map(({ name, to, receiver }) => [name, to, receiver]), [["small", "bob", "Bob"]]);
});

test("no more lies ready than can be shown", () => {
  const { files, store } = makeTransfer();
  files.attach(Array.from({ length: MAX_ATTACHMENTS + 1 }, (_, at) => file(String(at))));
  assert.equal(store.state.attachments.length, MAX_ATTACHMENTS);
});

test("a refused file says why and does not hold up the next; it goes when asked again", async () => {
  const { files, server, uploads } = makeTransfer();
  server.script = [507];
  files.attach([file("a"), file("b")]);
  files.sendAttachments("", "");
  await until(() => uploads().length === 1 && uploads()[0].phase === "failed");
  assert.deepEqual([uploads()[0].name, uploads()[0].reason, files.busy], ["a", "full", false]);
  files.again(uploads()[0].id);
  await until(() => uploads().length === 0);
  assert.equal(server.uploads.size, 2);
});

test("a cancelled file leaves, and the next one goes", async () => {
  const { files, server, uploads } = makeTransfer();
  server.script = [undefined, ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("cut"))))];
  files.attach([file("a"), file("b")]);
  files.sendAttachments("", "");
  await until(() => server.methods === "POST PATCH");
  files.cancel(uploads()[0].id);
  assert.deepEqual(uploads().map(({ name }) => name), ["b"]);
  await until(() => uploads().length === 0);
  assert.equal(server.methods, "POST PATCH DELETE POST PATCH");
});

test("back in the room, with the token of a new seat, what waited goes on at once", async () => {
  const { files, server, signalling, uploads } = makeTransfer();
  server.down = true;
  files.attach([file("a")]);
  files.sendAttachments("", "");
  await until(() => uploads()[0].phase === "waiting");
  await new Promise(setImmediate);
  server.down = false;
  server.token = signalling.resumeToken = "token-2";
  files.joined(1000);
  await until(() => uploads().length === 0);
  assert.equal(server.uploads.size, 1);
});

test("when the call is over nothing goes on", async () => {
  const { files, server, store } = makeTransfer();
  server.down = true;
  files.attach([file("a"), file("b")]);
  files.sendAttachments("", "");
  await until(() => store.state.uploads[0].phase === "waiting");
  files.end();
  const asked = server.requests.length;
  for (let round = 0; round < 10; round++) await new Promise(setImmediate);
  assert.deepEqual([store.state.uploads, server.requests.length], [[], asked]);
});

test("a file that is gone already has been taken away", async () => {
  const { files, server } = makeTransfer();
  assert.equal(await files.withdraw("unknown"), true);
  server.script = [403];
  assert.equal(await files.withdraw("theirs"), false);
});
