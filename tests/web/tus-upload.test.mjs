import assert from "node:assert/strict";
import { test } from "node:test";
import { TusUpload, UploadRefused } from "../../web/js/tus-upload.js";
import { SLICE_BYTES, UploadPace } from "../../web/js/upload-pace.js";
import { TusServer } from "./tus-double.mjs";

const ENDPOINT = "https://host/r/room/files";

/** Bytes that differ from slice to slice. @param {number} length */
function makeFile(length, name = "photo.jpg") {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 997) bytes[at] = at % 251;
  return new File([bytes], name);
}

function makeUpload(file, options = {}) {
  const server = new TusServer(ENDPOINT);
  const told = [];
  let now = 0;
  const upload = new TusUpload({
    file,
    endpoint: ENDPOINT,
    token: () => "token-1",
    send: server.send,
    pace: new UploadPace(async () => null, () => now),
    tell: (sent, wait) => told.push([sent, wait]),
    now: () => now,
    ...options,
  });
  return { server, upload, told, later: (ms) => (now += ms) };
}

const same = async (server, file) =>
  assert.ok([...server.uploads.values()].at(-1).data.equals(Buffer.from(await file.arrayBuffer())), "other bytes have arrived");

/** Waits for the next moment in which the upload rests and then wakes it: nothing here waits for a clock. */
async function wakeWhenResting(upload, told) {
  const before = told.length;
  while (told.length === before || told.at(-1)[1] === null) await new Promise(setImmediate);
  await new Promise(setImmediate);
  upload.wake();
}

test("a file goes slice by slice, with its name and receiver, and is told about", async () => {
  const file = makeFile(2 * SLICE_BYTES + 5, "Été à Évian.pdf");
  const { server, upload, told } = makeUpload(file, { to: "bob" });
  await upload.run();
  await same(server, file);
  assert.equal(server.methods, "POST PATCH PATCH PATCH");
  assert.deepEqual([...server.uploads.values()][0].metadata, { filename: "Été à Évian.pdf", to: "bob" });
  assert.deepEqual(told.at(-1), [file.size, null]);
});

test("after a break the server says where to go on, and nothing is sent twice", async () => {
  const file = makeFile(SLICE_BYTES + 1000);
  const { server, upload, told } = makeUpload(file);
  let patches = 0;
  const plain = server.send;
  upload.send = (request) => {
    if (request.method === "PATCH" && (patches += 1) === 1) server.script.push(server.breakAfter(12_345));
    return plain(request);
  };
  const done = upload.run();
  await wakeWhenResting(upload, told);
  await done;
  await same(server, file);
  assert.equal(server.methods, "POST PATCH HEAD PATCH");
  assert.equal(server.requests[3].headers["Upload-Offset"], "12345");
  assert.ok(told.some(([, wait]) => wait === "network"));
});

test("without network it goes on trying; a seat that is gone and a server that is busy are waited for", async () => {
  const file = makeFile(10);
  const { server, upload, told } = makeUpload(file);
  server.script = [401, 429, 503];
  const done = upload.run();
  for (let round = 0; round < 3; round++) await wakeWhenResting(upload, told);
  await done;
  await same(server, file);
  assert.deepEqual(told.map(([, wait]) => wait).filter(Boolean), ["seat", "busy", "server"]);
});

test("the answer to the last byte was lost: the file has arrived all the same", async () => {
  const file = makeFile(100);
  const { server, upload, told } = makeUpload(file);
  server.script = [undefined, server.breakAfter(100)];
  const done = upload.run();
  await wakeWhenResting(upload, told);
  await done;
  assert.equal(server.methods, "POST PATCH HEAD");
});

test("an upload that the server forgot is begun again", async () => {
  const file = makeFile(100);
  const { server, upload, told } = makeUpload(file);
  server.script = [undefined, server.breakAfter(50), 404];
  const done = upload.run();
  await wakeWhenResting(upload, told);
  await done;
  await same(server, file);
  assert.equal(server.methods, "POST PATCH HEAD POST PATCH");
});

test("a server that forgets each time is not asked for ever", async () => {
  const { server, upload, told } = makeUpload(makeFile(100));
  server.script = Array.from({ length: 40 }, (_, round) => (round % 3 === 0 ? undefined : round % 3 === 1 ? 503 : 404));
  const done = upload.run();
  const woken = (async () => {
    for (let round = 0; round < 4; round++) await wakeWhenResting(upload, told);
  })();
  await assert.rejects(done, (error) => error instanceof UploadRefused && error.reason === "other");
  await woken;
});

for (const [status, reason] of [[403, "forbidden"], [404, "receiver"], [413, "too-large"], [507, "full"], [400, "other"]]) {
  test(`${status} ends it: ${reason}`, async () => {
    const { server, upload } = makeUpload(makeFile(10));
    server.script = [status];
    await assert.rejects(upload.run(), (error) => error instanceof UploadRefused && error.reason === reason);
    assert.equal(server.methods, "POST");
  });
}

test("what was cancelled is taken away from the server", async () => {
  const file = makeFile(3 * SLICE_BYTES);
  const { server, upload } = makeUpload(file);
  upload.tell = (sent) => sent >= SLICE_BYTES && upload.cancel();
  await upload.run();
  assert.equal(server.requests.at(-1).method, "DELETE");
  assert.equal(server.uploads.size, 0);
});

test("a connection that hangs is left when there is another one, a working one is not", async () => {
  const file = makeFile(100);
  const { server, upload, told, later } = makeUpload(file);
  let hanging = false;
  const hang = ({ signal }) =>
    new Promise((_, reject) => {
      hanging = true;
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  server.script = [undefined, hang];
  const done = upload.run();
  while (!hanging) await new Promise(setImmediate);
  later(500);
  upload.wake();
  await new Promise(setImmediate);
  assert.equal(server.methods, "POST PATCH");
  later(5000);
  upload.wake();
  await wakeWhenResting(upload, told);
  await done;
  await same(server, file);
});

test("a file that cannot be read any more is not tried for ever", async () => {
  const file = makeFile(100);
  const { server, upload } = makeUpload(file);
  server.script = [undefined, 503];
  const slice = file.slice.bind(file);
  file.slice = (from, to) => (to - from === 1 ? { arrayBuffer: () => Promise.reject(new DOMException("moved", "NotReadableError")) } : slice(from, to));
  await assert.rejects(upload.run(), (error) => error instanceof UploadRefused && error.reason === "unreadable");
});
