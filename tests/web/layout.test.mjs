import assert from "node:assert/strict";
import { test } from "node:test";
import { GAP, arrangeGrid, capacity, cornerBeside, floatBox, moved, nearestCorner, planStage } from "../../web/js/layout.js";

const STAGES = {
  desktop: { width: 1256, height: 660 },
  "desktop beside the chat": { width: 900, height: 560 },
  "4K": { width: 3816, height: 1990 },
  phone: { width: 374, height: 650 },
  "small phone": { width: 304, height: 400 },
  "phone on its side": { width: 820, height: 260 },
};
const wide = (count) => Array(count).fill(16 / 9);
const near = (a, b, what) => assert.ok(Math.abs(a - b) < 0.01, `${what}: ${a} and ${b}`);

/** Every tile inside, none over another, each in its picture's shape. */
function check(ratios, space, seats) {
  const boxes = arrangeGrid(ratios, space, seats);
  assert.equal(boxes.length, ratios.length);
  boxes.forEach((box, index) => {
    inside(box, space, `tile ${index}`);
    assert.ok(Math.abs(box.width / box.height - ratios[index]) < 0.001, `tile ${index} shape`);
    for (const other of boxes.slice(index + 1)) assert.ok(apart(box, other), "overlap");
  });
  return boxes;
}

function inside(box, space, what) {
  assert.ok(box.x >= -0.01 && box.x + box.width <= space.width + 0.01, `${what} across`);
  assert.ok(box.y >= -0.01 && box.y + box.height <= space.height + 0.01, `${what} down`);
}

function apart(a, b) {
  return a.x + a.width <= b.x + 0.01 || b.x + b.width <= a.x + 0.01 || a.y + a.height <= b.y + 0.01 || b.y + b.height <= a.y + 0.01;
}

for (const [name, space] of Object.entries(STAGES)) {
  for (let count = 1; count <= 25; count++) {
    test(`${count} pictures on ${name}: each page fits at a size that can be read`, () => {
      const { people, pager, perPage, pages } = planStage(space, { ratios: [], count });
      assert.equal(pages, Math.ceil(count / perPage));
      assert.equal(pager === null, pages === 1);
      const boxes = check(wide(Math.min(count, perPage)), people);
      assert.ok(Math.min(...boxes.map(({ width }) => width)) >= Math.min(130, space.width), "readable");
      if (pager) assert.ok(pager.height >= 44 && apart(pager, people));
    });
    test(`${count} small ones beside a large one on ${name}`, () => {
      const plan = planStage(space, { ratios: [16 / 9], count });
      for (const part of [plan.large, plan.people, plan.pager]) if (part) inside(part, space, "part");
      assert.ok(apart(plan.large, plan.people));
      assert.ok(plan.large.width * plan.large.height > plan.people.width * plan.people.height || space.height > space.width, "the large one is larger");
    });
  }
}

test("nine at most are on a page, on a phone eight", () => {
  assert.equal(planStage(STAGES["4K"], { ratios: [], count: 25 }).perPage, 9);
  assert.equal(planStage(STAGES.desktop, { ratios: [], count: 25 }).perPage, 9);
  assert.equal(planStage(STAGES.phone, { ratios: [], count: 25 }).perPage, 8);
  assert.equal(planStage(STAGES.desktop, { ratios: [], count: 9 }).pages, 1);
  assert.equal(capacity({ width: 20, height: 20 }, 9), 1);
});

test("the last page shows its few at the size of the others", () => {
  const [first] = check(wide(9), STAGES.desktop);
  const [alone] = check(wide(1), STAGES.desktop, 9);
  near(first.width, alone.width, "width");
});

test("nobody else leaves the large one the whole stage", () => {
  const plan = planStage(STAGES.desktop, { ratios: [16 / 9], count: 0 });
  assert.deepEqual(plan.large, { x: 0, y: 0, ...STAGES.desktop });
  assert.equal(plan.people, null);
});

test("held upright, a wide screen takes the height it needs, and an upright picture leaves a row", () => {
  near(planStage(STAGES.phone, { ratios: [2], count: 3 }).large.height, Math.max(374 / 2, 650 / 3), "wide");
  assert.ok(planStage(STAGES.phone, { ratios: [9 / 16], count: 3 }).people.height >= 100);
});

test("phones held upright and cameras of the old shape keep theirs", () => {
  for (const space of Object.values(STAGES)) check([9 / 16, 4 / 3, 16 / 9, 9 / 16, 1], space);
});

test("two wide pictures stand side by side on a desktop and one above the other on a phone", () => {
  const desktop = arrangeGrid(wide(2), STAGES.desktop);
  assert.equal(desktop[0].y, desktop[1].y);
  const phone = arrangeGrid(wide(2), STAGES.phone);
  assert.equal(phone[0].x, phone[1].x);
});

test("nobody and no room are no error", () => {
  assert.deepEqual(arrangeGrid([], STAGES.desktop), []);
  assert.deepEqual(arrangeGrid(wide(3), { width: 0, height: 300 }), []);
});

test("boxes move with their area", () => {
  assert.deepEqual(moved([{ x: 1, y: 2, width: 3, height: 4 }], { x: 10, y: 20 }), [{ x: 11, y: 22, width: 3, height: 4 }]);
});

test("the self view floats in its corner, and goes where it is let go", () => {
  for (const space of Object.values(STAGES)) {
    for (const corner of ["top-start", "top-end", "bottom-start", "bottom-end"]) {
      for (const ratio of [16 / 9, 4 / 3, 9 / 16]) {
        const box = floatBox({ x: 0, y: 0, ...space }, ratio, corner);
        inside(box, space, corner);
        assert.equal(nearestCorner(space, box), corner);
        assert.ok(box.width >= 67 && box.width < space.width / 2, `${corner} ${ratio}: ${box.width}`);
      }
    }
  }
});

test("the self view hides neither the name nor the buttons of the picture under it", () => {
  for (const space of Object.values(STAGES)) {
    const area = { x: 0, y: 0, ...space };
    for (const other of [16 / 9, 4 / 3, 9 / 16]) {
      const [under] = arrangeGrid([other], space);
      for (const corner of ["top-start", "top-end", "bottom-start", "bottom-end"]) {
        const box = floatBox(area, 16 / 9, corner, under);
        inside(box, space, corner);
        const bars = [{ ...under, height: 46 }, { ...under, y: under.y + under.height - 44, height: 44 }];
        for (const bar of bars.slice(corner.startsWith("top") ? 0 : 1)) assert.ok(under.height < 200 || apart(bar, box), `${corner} ${other}`);
      }
    }
  }
});

test("the strip is no wider than its tiles", () => {
  const { large, people } = planStage(STAGES.desktop, { ratios: [16 / 9], count: 25 });
  near(large.width + GAP + people.width, STAGES.desktop.width, "all of the width");
  assert.ok(people.width < 180);
});

test("arrow keys move it from corner to corner, and no further than the edge", () => {
  assert.equal(cornerBeside("bottom-end", "up"), "top-end");
  assert.equal(cornerBeside("bottom-end", "start"), "bottom-start");
  assert.equal(cornerBeside("bottom-end", "down"), "bottom-end");
  assert.equal(cornerBeside("top-start", "start"), "top-start");
});

test("the gap is kept", () => {
  const [a, b] = arrangeGrid(wide(2), { width: 800, height: 225 });
  near(b.x - a.x - a.width, GAP, "gap");
});
