import assert from "node:assert/strict";
import { test } from "node:test";

const page = Object.assign(new EventTarget(), { hidden: false });
globalThis.document = page;
const { WakeLock } = await import("../../web/js/wake-lock.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A screen as the browser lends it: only to a page that is seen. */
class Screen {
  locks = [];
  refuses = false;
  async request() {
    if (this.refuses || page.hidden) throw new DOMException("no", "NotAllowedError");
    const lock = { released: false, release: async () => (lock.released = true) };
    this.locks.push(lock);
    return lock;
  }
  get lit() {
    return this.locks.filter(({ released }) => !released).length;
  }
}

function held() {
  const screen = new Screen();
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { wakeLock: screen } });
  return { screen, lock: new WakeLock() };
}

async function show(seen, screen) {
  page.hidden = !seen;
  if (!seen) for (const lock of screen.locks) lock.released = true;
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
}

test("the screen is lit from when it is wanted until it no longer is", async () => {
  const { screen, lock } = held();
  lock.hold(true);
  await settled();
  assert.equal(screen.lit, 1);
  lock.hold(false);
  await settled();
  assert.equal(screen.lit, 0);
});

test("what the browser took from a hidden page is had again when it is shown", async () => {
  const { screen, lock } = held();
  lock.hold(true);
  await settled();
  await show(false, screen);
  assert.equal(screen.lit, 0);
  await show(true, screen);
  assert.equal(screen.lit, 1);
  await show(true, screen);
  assert.equal(screen.lit, 1);
  lock.hold(false);
});

test("a page that is shown after the call leaves the screen to itself", async () => {
  const { screen, lock } = held();
  lock.hold(true);
  await settled();
  await show(false, screen);
  lock.hold(false);
  await show(true, screen);
  assert.equal(screen.locks.length, 1);
});

test("a call that ends while the browser still thinks does not keep the screen lit", async () => {
  const { screen, lock } = held();
  lock.hold(true);
  lock.hold(false);
  await settled();
  assert.equal(screen.lit, 0);
});

test("a refusal is tried again at the next look", async () => {
  const { screen, lock } = held();
  screen.refuses = true;
  lock.hold(true);
  await settled();
  screen.refuses = false;
  await show(true, screen);
  assert.equal(screen.lit, 1);
  lock.hold(false);
});
