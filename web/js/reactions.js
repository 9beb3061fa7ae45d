/** What can be called out without speaking, in the order of the picker; each has an icon of its name and words at `reaction.<name>`. */

/** @typedef {import("./protocol.js").ReactionKind} ReactionKind */

/** @type {ReactionKind[]} */
export const REACTIONS = ["like", "love", "laugh", "surprise", "applause", "party"];
