/** A server that lives in memory: what the signalling client believes to be its WebSocket, with a clock that tests turn. */

import { SignallingClient } from "../../web/js/protocol.js";

export class MemorySocket extends EventTarget {
  /** @type {MemorySocket[]} */
  static made = [];
  readyState = 0;
  sent = [];

  constructor(url) {
    super();
    this.url = url;
    MemorySocket.made.push(this);
  }

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  /** The network or the server ends the socket. */
  break() {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
  }

  deliver(message) {
    this.dispatchEvent(new MessageEvent("message", { data: typeof message === "string" ? message : JSON.stringify(message) }));
  }

  /** Messages of one type that the client sent. */
  of(type) {
    return this.sent.filter((message) => message.type === type);
  }
}

export const JOINED = {
  type: "joined",
  self: "me",
  resumed: false,
  resume: { token: "token-1", seconds: 60 },
  participants: [],
  chat: [],
  ice_servers: [],
  heartbeat: { interval_ms: 5000, timeout_ms: 12000 },
};

/** Puts timers of our own in the place of the global ones: what they wait for is `now()`. @param {() => number} now */
export function fakeTimers(now) {
  let last = 0;
  const waiting = new Map();
  const add = (again) => (run, delay = 0, ...args) => {
    waiting.set((last += 1), { at: now() + delay, every: again ? delay : 0, run: () => run(...args) });
    return last;
  };
  const remove = (id) => waiting.delete(id);
  Object.assign(globalThis, {
    setTimeout: add(false), setInterval: add(true), clearTimeout: remove, clearInterval: remove,
  });
  const due = (time) => [...waiting].filter(([, { at }]) => at <= time).sort(([, a], [, b]) => a.at - b.at)[0];
  return {
    /** @param {number} time */
    runUntil(time) {
      for (let next = due(time); next; next = due(time)) {
        const [id, timer] = next;
        if (timer.every) timer.at += timer.every;
        else waiting.delete(id);
        timer.run();
      }
    },
  };
}

export function makeClient() {
  MemorySocket.made = [];
  let now = 0;
  const timers = fakeTimers(() => now);
  const client = new SignallingClient("wss://host/r/room/ws", { WebSocket: MemorySocket, now: () => now, random: () => 0.5 });
  /** Time passes, in steps short enough for every timer to see its moment. */
  const pass = (ms) => {
    for (let left = ms; left > 0; left -= 100) {
      now += Math.min(100, left);
      timers.runUntil(now);
    }
  };
  const socket = () => MemorySocket.made[MemorySocket.made.length - 1];
  const events = [];
  for (const type of ["joined", "status", "waiting", "refused", "ended", "error", "chat", "offer"]) {
    client.on(type, (detail) => events.push([type, detail]));
  }
  return { client, pass, socket, events, sockets: () => MemorySocket.made };
}

/** A client that has joined. */
export function makeJoined() {
  const made = makeClient();
  made.client.join({ name: "Ann", password: "pw" });
  made.socket().open();
  made.socket().deliver(JOINED);
  return made;
}
