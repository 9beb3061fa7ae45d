/**
 * Where the tiles go. Pure geometry: a tile hugs its picture, so nothing is cropped and nothing has bars; among all numbers
 * of columns the one that shows the most picture wins.
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Box */
/** @typedef {{boxes: Box[], height: number}} Arrangement `height` is more than was given when it must scroll */

/** The largest size of this ratio that fits. @param {number} ratio @param {number} width @param {number} height */
export function fit(ratio, width, height) {
  return width / height > ratio ? { width: height * ratio, height } : { width, height: width / ratio };
}

/**
 * @param {number[]} ratios width/height of each tile, in order
 * @param {{width: number, height: number, gap: number, minWidth: number}} space
 * @returns {Arrangement}
 */
export function arrangeGrid(ratios, { width, height, gap, minWidth }) {
  if (ratios.length === 0 || width <= 0 || height <= 0) return { boxes: [], height: 0 };
  let best = { area: -1, columns: 1, cell: { width, height } };
  for (let columns = 1; columns <= ratios.length; columns++) {
    const rows = Math.ceil(ratios.length / columns);
    const cell = { width: (width - gap * (columns - 1)) / columns, height: (height - gap * (rows - 1)) / rows };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const area = ratios.reduce((sum, ratio) => {
      const size = fit(ratio, cell.width, cell.height);
      return sum + size.width * size.height;
    }, 0);
    if (area > best.area * 1.001) best = { area, columns, cell };
  }
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  if (fit(mean, best.cell.width, best.cell.height).width < Math.min(minWidth, width)) {
    // Too many to see all at once: rows of a readable size, and the rest below.
    const columns = Math.max(1, Math.min(ratios.length, Math.floor((width + gap) / (minWidth + gap))));
    const cellWidth = (width - gap * (columns - 1)) / columns;
    best = { area: 0, columns, cell: { width: cellWidth, height: cellWidth / Math.min(...ratios, 16 / 9) } };
  }
  return placeRows(ratios, best.columns, best.cell, { width, height, gap });
}

/**
 * @param {number[]} ratios @param {number} columns @param {{width: number, height: number}} cell
 * @param {{width: number, height: number, gap: number}} space
 * @returns {Arrangement}
 */
function placeRows(ratios, columns, cell, { width, height, gap }) {
  /** @type {{width: number, height: number}[][]} */
  const rows = [];
  for (let start = 0; start < ratios.length; start += columns) {
    rows.push(ratios.slice(start, start + columns).map((ratio) => fit(ratio, cell.width, cell.height)));
  }
  const heights = rows.map((row) => Math.max(...row.map((size) => size.height)));
  const total = heights.reduce((sum, each) => sum + each, 0) + gap * (rows.length - 1);
  let y = Math.max(0, (height - total) / 2);
  /** @type {Box[]} */
  const boxes = [];
  rows.forEach((row, index) => {
    const rowWidth = row.reduce((sum, size) => sum + size.width, 0) + gap * (row.length - 1);
    let x = (width - rowWidth) / 2;
    for (const size of row) {
      boxes.push({ x, y: y + (heights[index] - size.height) / 2, ...size });
      x += size.width + gap;
    }
    y += heights[index] + gap;
  });
  return { boxes, height: Math.max(height, total) };
}

/** Whether a picture lies in the part that is scrolled to. @param {Box} box @param {number} top @param {number} height */
export function inSight(box, top, height) {
  return box.width > 0 && box.y < top + height && box.y + box.height > top;
}
