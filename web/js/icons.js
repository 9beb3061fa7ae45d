/** The icons, as SVG elements: 24 by 24, strokes in the colour of the text around them. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  microphone: ["M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3Z", "M5.5 11a6.5 6.5 0 0 0 13 0", "M12 17.5V21"],
  "microphone-off": ["M15 9.5V6a3 3 0 0 0-5.7-1.3", "M9 9v2a3 3 0 0 0 4.6 2.5", "M5.5 11a6.5 6.5 0 0 0 10 5.5", "M18.5 11a6.5 6.5 0 0 1-.7 2.9", "M12 17.5V21", "M4 4l16 16"],
  camera: ["M4.5 6.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2Z", "M15.5 10.5l6-3v9l-6-3"],
  "camera-off": ["M9 6.5h4.5a2 2 0 0 1 2 2v4", "M15.5 13.5l6 3v-9l-4.5 2.3", "M14.8 17a2 2 0 0 1-1.3.5h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2", "M4 4l16 16"],
  screen: ["M4 4.5h16a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 15V6A1.5 1.5 0 0 1 4 4.5Z", "M8.5 20h7", "M12 13.5V8", "M9.5 10.3 12 7.8l2.5 2.5"],
  chat: ["M5 4.5h14a2 2 0 0 1 2 2v8.5a2 2 0 0 1-2 2h-7.5L7 20.5V17H5a2 2 0 0 1-2-2V6.5a2 2 0 0 1 2-2Z", "M7.5 9h9", "M7.5 12.5h6"],
  people: ["M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z", "M2.5 19.5c0-3.3 2.9-5.5 6.5-5.5s6.5 2.2 6.5 5.5", "M16 4.9a3.5 3.5 0 0 1 0 6.3", "M18 14.5c2.1.8 3.5 2.6 3.5 5"],
  settings: ["M4 7.5h9", "M19 7.5h1", "M16 10a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z", "M4 16.5h1", "M11 16.5h9", "M8 19a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z"],
  leave: ["M3 13.8c0-1 .5-1.9 1.4-2.4C6.7 10 9.3 9.3 12 9.3s5.3.7 7.6 2.1c.9.5 1.4 1.4 1.4 2.4v1.4c0 .7-.6 1.2-1.3 1.1l-2.7-.5a1.2 1.2 0 0 1-1-1.2v-1.7a12 12 0 0 0-8 0v1.7c0 .6-.4 1.1-1 1.2l-2.7.5c-.7.1-1.3-.4-1.3-1.1Z"],
  link: ["M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7L12 6.3", "M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1.1-1.1"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  send: ["M4.5 12h14", "M13 6.5l5.5 5.5-5.5 5.5"],
  shuffle: ["M4 12a8 8 0 0 1 13.9-5.4L20 8.5", "M20 4v4.5h-4.5", "M20 12a8 8 0 0 1-13.9 5.4L4 15.5", "M4 20v-4.5h4.5"],
  sound: ["M4 9.5v5h3.5l4.5 4v-13l-4.5 4Z", "M15.5 9a4.2 4.2 0 0 1 0 6", "M18 6.5a7.8 7.8 0 0 1 0 11"],
  expand: ["M14.5 4.5h5v5", "M19.5 4.5l-6 6", "M9.5 19.5h-5v-5", "M4.5 19.5l6-6"],
  more: ["M12 5.5v.1", "M12 12v.1", "M12 18.5v.1"],
  search: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Z", "M15.5 15.5 20 20"],
  lock: ["M6.5 10.5h11a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 19v-7a1.5 1.5 0 0 1 1.5-1.5Z", "M8 10.5V8a4 4 0 0 1 8 0v2.5", "M12 14.5v2"],
  rules: ["M12 3.5 19.5 6v5.5c0 4.3-3 7.6-7.5 9-4.5-1.4-7.5-4.7-7.5-9V6Z", "M9 12l2.2 2.2L15.5 10"],
  invite: ["M10 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z", "M3 19.5c0-3.3 3.1-5.5 7-5.5 1.4 0 2.7.3 3.8.8", "M18.5 14v6", "M15.5 17h6"],
  mail: ["M4.5 5.5h15A1.5 1.5 0 0 1 21 7v10a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17V7a1.5 1.5 0 0 1 1.5-1.5Z", "M3.5 7l8.5 6 8.5-6"],
  "share-sheet": ["M12 14.5V4", "M8.5 7 12 3.5 15.5 7", "M7 11H5.5v9h13v-9H17"],
  eye: ["M2.5 12C4.5 8 8 5.5 12 5.5S19.5 8 21.5 12c-2 4-5.5 6.5-9.5 6.5S4.5 16 2.5 12Z", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z"],
  "eye-off": ["M9.5 5.8c.8-.2 1.6-.3 2.5-.3 4 0 7.5 2.5 9.5 6.5-.8 1.6-1.8 2.9-3 3.9", "M6 7.5C4.5 8.6 3.4 10.1 2.5 12c2 4 5.5 6.5 9.5 6.5 1.7 0 3.3-.4 4.7-1.2", "M10 9.9a3 3 0 0 0 4.2 4.2", "M4 4l16 16"],
  door: ["M6 20.5V5a1.5 1.5 0 0 1 1.5-1.5h9A1.5 1.5 0 0 1 18 5v15.5", "M3.5 20.5h17", "M14.5 12v.5"],
  warning: ["M12 4l9 15.5H3Z", "M12 10v4.5", "M12 17v.1"],
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {IconName} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  draw(svg, name);
  return svg;
}

/** Changes an icon in place. @param {SVGSVGElement} svg @param {IconName} name */
export function draw(svg, name) {
  if (svg.dataset.icon === name) return;
  svg.dataset.icon = name;
  svg.replaceChildren(
    ...PATHS[name].map((d) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", d);
      return path;
    }),
  );
}
