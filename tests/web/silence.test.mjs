import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow } from "../../web/js/silence.js";

/** A connection looked at every 300 ms; bytes by what arrives and leaves between two looks. */
function makeFlow() {
  const flow = new Flow();
  const bytes = { sent: 0, received: 0 };
  let now = 0;
  return (looks, { arrives, leaves = 100 }) => {
    const findings = [];
    for (let look = 0; look < looks; look++) {
      now += 300;
      bytes.received += arrives;
      bytes.sent += leaves;
      findings.push(flow.look({ ...bytes }, now));
    }
    return findings;
  };
}

test("what goes on arriving is no silence", () => {
  const pass = makeFlow();
  assert.ok(pass(50, { arrives: 10 }).every((finding) => finding === null));
});

test("silence after a steady flow is found within a second, once", () => {
  const pass = makeFlow();
  pass(10, { arrives: 10 });
  assert.deepEqual(pass(3, { arrives: 0, leaves: 0 }), [null, "silent", null]);
  assert.ok(pass(20, { arrives: 0, leaves: 0 }).every((finding) => finding === null));
});

test("silence while we send is a broken way after two seconds, and again until something arrives", () => {
  const pass = makeFlow();
  pass(10, { arrives: 10 });
  assert.deepEqual(pass(6, { arrives: 0 }).filter(Boolean), ["silent"]);
  assert.deepEqual(pass(5, { arrives: 0 }).filter(Boolean), ["broken", "broken"]);
  assert.deepEqual(pass(5, { arrives: 10 }).filter(Boolean), []);
});

test("a little now and then makes no silence to speak of", () => {
  const pass = makeFlow();
  for (let round = 0; round < 10; round++) {
    assert.deepEqual([...pass(1, { arrives: 10 }), ...pass(4, { arrives: 0 })].filter(Boolean), []);
  }
});

test("a flow that comes back is watched again", () => {
  const pass = makeFlow();
  pass(10, { arrives: 10 });
  pass(5, { arrives: 0 });
  pass(10, { arrives: 10 });
  assert.ok(pass(3, { arrives: 0 }).includes("silent"));
});
