/**
 * What the address says of a room that its link opens: `?webinar` (some speak, the others watch) and `?video=vp9|av1|h264`.
 * A room that is open already keeps its own.
 */

import { roomLink } from "./room-name.js";

/** @typedef {import("./protocol.js").RoomSettings} RoomSettings */
/** @typedef {import("./protocol.js").VideoCodec} VideoCodec */

/** @type {readonly string[]} */
const CODECS = /** @type {VideoCodec[]} */ (["vp8", "vp9", "av1", "h264"]);

/** @param {URLSearchParams} query @returns {Partial<RoomSettings> | undefined} nothing where the address says nothing */
export function roomSettings(query) {
  /** @type {Partial<RoomSettings>} */
  const settings = {};
  const video = query.get("video")?.toLowerCase() ?? "";
  if (CODECS.includes(video)) settings.video = /** @type {VideoCodec} */ (video);
  if (query.has("webinar")) settings.mode = "broadcast";
  return Object.keys(settings).length > 0 ? settings : undefined;
}

/** The link to pass on: who comes to a webinar is told by it, and is not asked for a camera. @param {string} room @param {boolean} broadcast */
export function invitationLink(room, broadcast) {
  return broadcast ? `${roomLink(room)}?webinar` : roomLink(room);
}
