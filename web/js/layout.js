/**
 * Where the tiles go. Pure geometry: a tile hugs its picture, so nothing is cropped and nothing has bars; among all numbers
 * of columns the one that shows the most picture wins. What does not fit at a size that can be read is on another page.
 */

/** @typedef {{width: number, height: number}} Size */
/** @typedef {Size & {x: number, y: number}} Box */
/** @typedef {"top-start" | "top-end" | "bottom-start" | "bottom-end"} Corner */

/**
 * The stage divided: the large ones, the people, and the buttons that turn pages where there are several.
 * @typedef {{large: Box | null, people: Box | null, pager: Box | null, perPage: number, pages: number}} Plan
 */

export const GAP = 10;
/** Of a tile whose picture has not come yet. */
export const USUAL_RATIO = 16 / 9;
const MOST_ON_A_PAGE = 9;
const MOST_ON_A_SMALL_PAGE = 8;
/** A stage whose shorter side is less is that of a phone. */
const SMALL_SIDE = 480;
const LEAST_WIDTH = 140;
const PAGER_HEIGHT = 44;
const STRIP = { least: 160, most: 420, share: 0.19 };
/** Held upright, what stands large leaves the others a row of this height. */
const ROW_HEIGHT = 112;
/** The floating self view, and what it leaves free of the picture below: the name, and the buttons above. */
const FLOAT = { share: 0.24, shareUpright: 0.4, least: 150, most: 300, aside: 12, above: 50, below: 50 };

/** The largest size of this ratio that fits. @param {number} ratio @param {number} width @param {number} height @returns {Size} */
export function fit(ratio, width, height) {
  return width / height > ratio ? { width: height * ratio, height } : { width, height: width / ratio };
}

/** How many tiles can be read there at once. @param {Size} space @param {number} most @param {number} [least] width of a tile */
export function capacity({ width, height }, most, least = LEAST_WIDTH) {
  const columns = Math.floor((width + GAP) / (least + GAP));
  const rows = Math.floor((height + GAP) / (least / USUAL_RATIO + GAP));
  return Math.min(most, Math.max(1, columns) * Math.max(1, rows));
}

/**
 * @param {Size} space
 * @param {{ratios: number[], count: number}} wanted ratios of what stands large, none in a grid; how many others there are
 * @returns {Plan}
 */
export function planStage({ width, height }, { ratios, count }) {
  const whole = { x: 0, y: 0, width, height };
  if (ratios.length === 0) return withPages(whole, count, null);
  if (count === 0) return { large: whole, people: null, pager: null, perPage: 1, pages: 1 };
  if (width > height) {
    const widest = Math.round(Math.min(STRIP.most, Math.max(STRIP.least, width * STRIP.share)));
    const { people, pager, perPage, pages } = withPages({ x: 0, y: 0, width: widest, height }, count, whole, STRIP.least);
    // No wider than its tiles.
    const tiles = arrangeGrid(Array(Math.min(count, perPage)).fill(USUAL_RATIO), people ?? whole);
    const strip = tiles.length === 0 ? widest : Math.ceil(Math.max(...tiles.map((tile) => tile.x + tile.width)) - Math.min(...tiles.map(({ x }) => x)));
    const beside = (/** @type {Box | null} */ box) => box && { ...box, x: width - strip, width: strip };
    return { large: { ...whole, width: width - strip - GAP }, people: beside(people), pager: beside(pager), perPage, pages };
  }
  // What stands large takes the height it needs and no more.
  const needed = ratios.reduce((sum, ratio) => sum + width / ratio, GAP * (ratios.length - 1));
  const pager = capacity({ width, height: ROW_HEIGHT }, MOST_ON_A_PAGE) < count ? PAGER_HEIGHT : 0;
  const tall = Math.max(height / 3, Math.min(needed, height - ROW_HEIGHT - pager - GAP));
  return withPages({ x: 0, y: tall + GAP, width, height: height - tall - GAP }, count, { ...whole, height: tall });
}

/** @param {Box} area @param {number} count @param {Box | null} large @param {number} [least] @returns {Plan} */
function withPages(area, count, large, least) {
  const most = Math.min(area.width, area.height) < SMALL_SIDE && !large ? MOST_ON_A_SMALL_PAGE : MOST_ON_A_PAGE;
  const all = capacity(area, most, least);
  if (count <= all) return { large, people: area, pager: null, perPage: all, pages: 1 };
  const people = { ...area, height: Math.max(1, area.height - PAGER_HEIGHT) };
  const perPage = capacity(people, most, least);
  const pager = { ...area, y: area.y + people.height, height: PAGER_HEIGHT };
  return { large, people, pager, perPage, pages: Math.ceil(count / perPage) };
}

/**
 * @param {number[]} ratios width/height of each tile, in order
 * @param {Size} space
 * @param {number} [seats] as small as if there were so many: the last page looks like the others
 * @returns {Box[]}
 */
export function arrangeGrid(ratios, { width, height }, seats = 0) {
  if (ratios.length === 0 || width <= 0 || height <= 0) return [];
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  const all = [...ratios, ...Array(Math.max(0, seats - ratios.length)).fill(mean)];
  let best = { area: -1, columns: 1, cell: { width, height } };
  for (let columns = 1; columns <= all.length; columns++) {
    const rows = Math.ceil(all.length / columns);
    const cell = { width: (width - GAP * (columns - 1)) / columns, height: (height - GAP * (rows - 1)) / rows };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const area = all.reduce((sum, ratio) => {
      const size = fit(ratio, cell.width, cell.height);
      return sum + size.width * size.height;
    }, 0);
    if (area > best.area * 1.001) best = { area, columns, cell };
  }
  return placeRows(ratios, best.columns, best.cell, { width, height });
}

/** @param {number[]} ratios @param {number} columns @param {Size} cell @param {Size} space @returns {Box[]} */
function placeRows(ratios, columns, cell, { width, height }) {
  /** @type {Size[][]} */
  const rows = [];
  for (let start = 0; start < ratios.length; start += columns) {
    rows.push(ratios.slice(start, start + columns).map((ratio) => fit(ratio, cell.width, cell.height)));
  }
  const heights = rows.map((row) => Math.max(...row.map((size) => size.height)));
  const total = heights.reduce((sum, each) => sum + each, 0) + GAP * (rows.length - 1);
  let y = (height - total) / 2;
  /** @type {Box[]} */
  const boxes = [];
  rows.forEach((row, index) => {
    const rowWidth = row.reduce((sum, size) => sum + size.width, 0) + GAP * (row.length - 1);
    let x = (width - rowWidth) / 2;
    for (const size of row) {
      boxes.push({ x, y: y + (heights[index] - size.height) / 2, ...size });
      x += size.width + GAP;
    }
    y += heights[index] + GAP;
  });
  return boxes;
}

/** The same boxes in an area that begins elsewhere. @param {Box[]} boxes @param {{x: number, y: number}} origin */
export function moved(boxes, { x, y }) {
  return boxes.map((box) => ({ ...box, x: box.x + x, y: box.y + y }));
}

/**
 * Of the self view that floats in a corner of the area, and hides neither name nor buttons of the picture under it.
 * @param {Box} area @param {number} ratio @param {Corner} corner @param {Box} [under] @returns {Box}
 */
export function floatBox(area, ratio, corner, under) {
  const share = area.height > area.width ? FLOAT.shareUpright : FLOAT.share;
  const longest = Math.min(FLOAT.most, Math.max(FLOAT.least, Math.min(area.width * share, area.height * share * USUAL_RATIO)));
  const size = ratio >= 1 ? { width: longest, height: longest / ratio } : { width: longest * Math.max(ratio, 0.5), height: longest };
  const left = area.x + FLOAT.aside;
  const right = area.x + area.width - size.width - FLOAT.aside;
  const top = area.y + FLOAT.aside;
  const bottom = area.y + area.height - size.height - FLOAT.aside;
  const above = under ? under.y + FLOAT.above : -Infinity;
  const below = under ? under.y + under.height - FLOAT.below - size.height : Infinity;
  // Beside the picture there is nothing to hide.
  const upper = top + size.height <= (under?.y ?? Infinity) || top >= above ? top : above;
  const lower = bottom >= (under ? under.y + under.height : -Infinity) || bottom <= below ? bottom : below;
  return { x: Math.max(area.x, corner.endsWith("start") ? left : right), y: Math.max(area.y, corner.startsWith("top") ? upper : lower), ...size };
}

/** Where something let go of there belongs. @param {Size} area @param {Box} box @returns {Corner} */
export function nearestCorner(area, box) {
  const top = box.y + box.height / 2 < area.height / 2;
  const start = box.x + box.width / 2 < area.width / 2;
  return /** @type {Corner} */ (`${top ? "top" : "bottom"}-${start ? "start" : "end"}`);
}

/** The corner beside this one, or the same at the edge. @param {Corner} corner @param {"up" | "down" | "start" | "end"} way @returns {Corner} */
export function cornerBeside(corner, way) {
  const [vertical, side] = corner.split("-");
  if (way === "up" || way === "down") return /** @type {Corner} */ (`${way === "up" ? "top" : "bottom"}-${side}`);
  return /** @type {Corner} */ (`${vertical}-${way}`);
}
