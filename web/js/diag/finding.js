/** What one look at a line or a device found. */

/**
 * @typedef {"good" | "poor" | "bad" | "none"} Outcome `none`: not there, and nobody's fault
 * @typedef {object} Finding
 * @property {Outcome} outcome
 * @property {string} [key] of the words that say more
 * @property {Record<string, string | number>} [values] in these words
 * @property {string} [reason] name of what went wrong, for the verdict
 * @property {number} [kBps]
 * @property {number} [rtt_ms]
 * @property {number} [loss] a part of 1
 * @property {import("../path.js").Path | null} [path]
 */

/** What is looked at, in this order. */
export const CHECKS = /** @type {const} */ (["websocket", "call", "stun", "turn-udp", "turn-tcp", "turn-tls", "ipv6", "download", "upload", "camera", "microphone"]);

/** @typedef {(typeof CHECKS)[number]} Check */
/** @typedef {Partial<Record<Check, Finding>>} Findings those that are there yet */
