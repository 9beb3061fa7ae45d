import assert from "node:assert/strict";
import { test } from "node:test";
import { Entry, hostLink, passLink, readPass } from "../../web/js/entry.js";

globalThis.location = { origin: "https://talk.example" };

/** What a tab remembers. */
class TabStorage extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => this.set(key, value);
}

const refused = () => {
  throw new DOMException("no", "SecurityError");
};

test("reads the key of a host and an invitation out of the fragment of their links", () => {
  for (const broadcast of [false, true]) {
    assert.deepEqual(readPass(new URL(hostLink("garden", broadcast, "k-_9")).hash), { host_key: "k-_9" });
    assert.deepEqual(readPass(new URL(passLink("garden", broadcast, "t-_9")).hash), { invitation: "t-_9" });
  }
});

test("what a link brings is in no part of it that is sent", () => {
  const { pathname, search } = new URL(hostLink("garden", true, "secret"));
  assert.equal(pathname + search, "/r/garden?webinar");
});

test("other fragments bring nothing", () => {
  for (const hash of ["", "#", "#top", "#host=", "#invite", `#host=${"x".repeat(129)}`]) assert.equal(readPass(hash), null, hash);
  assert.equal(readPass(`#host=${"x".repeat(128)}`).host_key.length, 128);
});

test("a reload of the tab still has it, another room has not", () => {
  const tab = new TabStorage();
  assert.equal(new Entry("garden", () => tab).take("#host=key"), true);
  assert.deepEqual(new Entry("garden", () => tab).pass, { host_key: "key" });
  assert.deepEqual(new Entry("cellar", () => tab).pass, {});
});

test("a new link replaces the one before, and one that brings nothing does not", () => {
  const tab = new TabStorage();
  const entry = new Entry("garden", () => tab);
  entry.take("#host=key");
  entry.take("#invite=token");
  assert.equal(entry.take("#top"), false);
  assert.deepEqual(new Entry("garden", () => tab).pass, { invitation: "token" });
});

test("an invitation that is over is not brought again", () => {
  const tab = new TabStorage();
  const entry = new Entry("garden", () => tab);
  entry.take("#invite=token");
  entry.forgetInvitation();
  assert.deepEqual(entry.pass, {});
  assert.deepEqual(new Entry("garden", () => tab).pass, {});
});

test("without storage it holds as long as the page", () => {
  const entry = new Entry("garden", refused);
  entry.take("#invite=token");
  assert.deepEqual(entry.pass, { invitation: "token" });
});
