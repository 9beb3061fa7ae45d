import assert from "node:assert/strict";
import { test } from "node:test";
import { KEEP_MS, SeatToken } from "../../web/js/seat-token.js";

/** Locks of a browser, and pages that hold them until they close. */
class Locks {
  held = new Map();

  page() {
    const names = [];
    const request = async (name, { signal }, callback) => {
      await new Promise((granted, refused) => {
        const look = () => (this.held.has(name) ? this.held.get(name).push(look) : granted());
        signal.addEventListener("abort", () => refused(new DOMException("", "AbortError")));
        look();
      });
      this.held.set(name, []);
      names.push(name);
      return callback({ name });
    };
    const close = () => {
      for (const name of names) {
        const next = this.held.get(name);
        this.held.delete(name);
        for (const look of next) look();
      }
    };
    return { locks: { request }, close };
  }
}

class TabStorage extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => this.set(key, value);
}

async function open(room, storage, page, now = Date.now) {
  const seat = new SeatToken(room, { storage: () => storage, locks: page.locks, now });
  await seat.claim();
  return seat;
}

test("a new tab has none, and a reload has what it kept", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  const seat = await open("garden", storage, first);
  assert.equal(seat.value, "");
  seat.keep("one");
  seat.keep("two");
  first.close();
  assert.equal((await open("garden", storage, browser.page())).value, "two");
});

test("a page that closes late is waited for", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  (await open("garden", storage, first)).keep("one");
  const second = open("garden", storage, browser.page());
  first.close();
  assert.equal((await second).value, "one");
});

test("a duplicated tab leaves the seat to the one it was made from, and gets one of its own", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  (await open("garden", storage, first)).keep("one");
  const [copied, page] = [new TabStorage(storage), browser.page()];
  const duplicate = await open("garden", copied, page);
  assert.equal(duplicate.value, "");
  duplicate.keep("its own");
  page.close();
  assert.equal((await open("garden", copied, browser.page())).value, "its own");
});

test("another room has another seat", async () => {
  const browser = new Locks();
  const storage = new TabStorage();
  (await open("garden", storage, browser.page())).keep("one");
  assert.equal((await open("cellar", storage, browser.page())).value, "");
});

test("what a join brought before the claim was settled is kept", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  const seat = new SeatToken("garden", { storage: () => storage, locks: first.locks });
  const claim = seat.claim();
  seat.keep("early");
  await claim;
  first.close();
  assert.equal((await open("garden", storage, browser.page())).value, "early");
});

test("without storage or locks there is none after a reload, and nothing breaks", async () => {
  const refused = () => {
    throw new DOMException("no", "SecurityError");
  };
  const seat = new SeatToken("garden", { storage: refused, locks: new Locks().page().locks });
  await seat.claim();
  seat.keep("one");
  assert.equal(seat.value, "one");
  const storage = new TabStorage();
  const plain = new SeatToken("garden", { storage: () => storage, locks: null });
  await plain.claim();
  plain.keep("one");
  const again = new SeatToken("garden", { storage: () => storage, locks: null });
  await again.claim();
  assert.equal(again.value, "");
});

test("a page that was away for long begins anew, one that was looked at until now does not", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  let now = 0;
  const seat = await open("garden", storage, first, () => now);
  seat.keep("one");
  now += 2 * KEEP_MS;
  seat.rest();
  first.close();
  now += KEEP_MS;
  const second = browser.page();
  assert.equal((await open("garden", storage, second, () => now)).value, "one");
  second.close();
  now += 1;
  assert.equal((await open("garden", storage, browser.page(), () => now)).value, "");
});

test("a seat that is over is not asked for again", async () => {
  const browser = new Locks();
  const [storage, first] = [new TabStorage(), browser.page()];
  const seat = await open("garden", storage, first);
  seat.keep("one");
  seat.forget();
  seat.rest();
  first.close();
  assert.equal((await open("garden", storage, browser.page())).value, "");
});
