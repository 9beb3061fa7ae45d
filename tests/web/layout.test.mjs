import assert from "node:assert/strict";
import { test } from "node:test";
import { arrangeGrid } from "../../web/js/layout.js";

const DESKTOP = { width: 1256, height: 660, gap: 10, minWidth: 156 };
const PHONE = { width: 374, height: 690, gap: 10, minWidth: 156 };
const wide = (count) => Array(count).fill(16 / 9);

/** Every tile inside, none over another, each in its picture's shape. */
function check(ratios, space) {
  const { boxes, height } = arrangeGrid(ratios, space);
  assert.equal(boxes.length, ratios.length);
  boxes.forEach((box, index) => {
    assert.ok(box.x >= -0.01 && box.x + box.width <= space.width + 0.01, `tile ${index} across`);
    assert.ok(box.y >= -0.01 && box.y + box.height <= height + 0.01, `tile ${index} down`);
    assert.ok(Math.abs(box.width / box.height - ratios[index]) < 0.001, `tile ${index} shape`);
    for (const other of boxes.slice(index + 1)) {
      const apart = box.x + box.width <= other.x + 0.01 || other.x + other.width <= box.x + 0.01;
      assert.ok(apart || box.y + box.height <= other.y + 0.01 || other.y + other.height <= box.y + 0.01, "overlap");
    }
  });
  return { boxes, height };
}

for (let count = 1; count <= 20; count++) {
  test(`${count} pictures fit a desktop without scrolling`, () => {
    const { height } = check(wide(count), DESKTOP);
    assert.equal(height, DESKTOP.height);
  });
  test(`${count} pictures keep a readable width on a phone`, () => {
    const { boxes } = check(wide(count), PHONE);
    assert.ok(Math.min(...boxes.map(({ width }) => width)) >= PHONE.minWidth);
  });
}

test("phones held upright and cameras of the old shape keep theirs", () => {
  check([9 / 16, 4 / 3, 16 / 9, 9 / 16, 1], DESKTOP);
  check([9 / 16, 4 / 3, 16 / 9, 9 / 16, 1], PHONE);
});

test("two wide pictures stand side by side on a desktop and one above the other on a phone", () => {
  const desktop = arrangeGrid(wide(2), DESKTOP).boxes;
  assert.equal(desktop[0].y, desktop[1].y);
  const phone = arrangeGrid(wide(2), PHONE).boxes;
  assert.equal(phone[0].x, phone[1].x);
});

test("nobody and no room are no error", () => {
  assert.deepEqual(arrangeGrid([], DESKTOP).boxes, []);
  assert.deepEqual(arrangeGrid(wide(3), { ...DESKTOP, width: 0 }).boxes, []);
});
