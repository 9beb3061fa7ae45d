/** As much of a browser's document as our elements need to be made, drawn and pressed in Node. Nothing is laid out. */

/** @param {Element} element @param {string} selector of tag, class or attributes, and what they are */
function matches(element, selector) {
  const [, tag, rest] = /^([\w-]*)(.*)$/.exec(selector);
  if (tag && element.localName !== tag) return false;
  return [...rest.matchAll(/\.([\w-]+)|\[([\w-]+)(?:="([^"]*)")?\]/g)].every(([, name, attribute, value]) => {
    if (name) return element.className.split(" ").includes(name);
    const has = attribute.startsWith("data-")
      ? element.dataset[attribute.slice(5).replace(/-(\w)/g, (_, letter) => letter.toUpperCase())]
      : element.attributes.get(attribute);
    return value === undefined ? has !== undefined : has === value;
  });
}

class Element extends EventTarget {
  static tag = "";
  attributes = new Map();
  children = [];
  className = "";
  dataset = {};
  hidden = false;
  localName = /** @type {typeof Element} */ (this.constructor).tag;
  parent = null;
  textContent = "";
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }
  setAttribute(name, value) {
    this.attributes.set(name, value);
  }
  toggleAttribute(name, on) {
    if (name === "hidden") this.hidden = on;
    else if (on) this.attributes.set(name, "");
    else this.attributes.delete(name);
  }
  append(...children) {
    for (const child of children.filter((each) => each instanceof Element)) {
      child.parent = this;
      this.children.push(child);
    }
  }
  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((each) => each !== this);
  }
  closest(selector) {
    return matches(this, selector) ? this : (this.parent?.closest(selector) ?? null);
  }
  querySelectorAll(selector) {
    return this.children.flatMap((each) => [...(matches(each, selector) ? [each] : []), ...each.querySelectorAll(selector)]);
  }
  querySelector(selector) {
    return this.querySelectorAll(selector)[0] ?? null;
  }
}

/** Plays through the speaker that it is told, `speaker`; empty: that of the system. */
class Media extends Element {
  srcObject = null;
  speaker = "";
  async play() {}
  async setSinkId(speaker) {
    this.speaker = speaker;
  }
}

const types = new Map([["audio", Media], ["video", Media]]);
const createElement = (tag) => Object.assign(new (types.get(tag) ?? Element)(), { localName: tag });

Object.assign(globalThis, {
  HTMLElement: Element,
  HTMLButtonElement: class extends Element {},
  HTMLMediaElement: Media,
  MediaStream: class {
    constructor(tracks) {
      this.getAudioTracks = () => tracks;
    }
  },
  customElements: {
    define(tag, type) {
      type.tag = tag;
      types.set(tag, type);
    },
  },
  document: Object.assign(new EventTarget(), { createElement, createElementNS: (_, tag) => createElement(tag), documentElement: createElement("html"), hidden: false }),
});

/** The page of a call, with this element of it. @param {import("../../web/js/call.js").Call} call @param {HTMLElement} view */
export function standIn(call, view) {
  const page = Object.assign(createElement("turnd-call"), { call });
  page.append(view);
  view.connectedCallback();
  return view;
}
