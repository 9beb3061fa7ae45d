/** Room names: read out over the telephone, written down right. Three plain words, and the language's own ones. */

import { currentLanguage } from "./language.js";

const WORDS = {
  en: `amber anchor apple april arrow autumn badge bamboo basil beacon birch bottle breeze bridge bronze button cabin candle
canyon castle cedar cherry circle cloud clover coast comet copper coral cotton cricket crystal daisy delta desert dolphin eagle
ember falcon feather fern field forest fountain garden ginger glacier granite hammock harvest hazel honey horizon island
ivory jasmine juniper kettle lagoon lantern lemon lily linen lunar maple marble meadow melon mint mirror morning mountain
nectar needle oasis ocean olive onyx orange orchard oxygen paper pearl pebble pepper piano planet plum pocket prairie quartz
rabbit rainbow raven ribbon river robin rocket saddle saffron sailor sandal season shadow silver singer summer sunset
temple thunder tiger timber topaz tulip tunnel valley velvet violet walnut water willow window winter wonder yellow zebra`,
  fr: `abeille abricot agate amande argent automne avril balcon bambou banane baril bateau bouton branche brise bronze cabane
calme canal canard canyon caramel cascade castor cerise chalet chemin cigale cirque citron clairon colline comete compas
corail coton cuivre dauphin desert dune ecorce etoile fanal faucon fleur fontaine foret fougere galet garage girafe glacier
grelot grenade grotte harpe horizon iris ivoire jardin jasmin jonquille lagune lanterne lavande lezard lilas lune magnolia
marbre marin matin melon menthe miel miroir mistral montagne moulin muguet nacre navire neige nuage oasis ocean olive orage
orange papier pastel perle phare piano planete pluie poivre prairie prune quartz renard riviere rocher roseau ruban sable
safran sapin sauge savane soleil sorbet tambour tigre tilleul topaze torrent tulipe vallon velours verger violet voilier`,
};

/** @type {number} as in PROTOCOL.md */
export const MAX_ROOM_NAME = 64;

/** @returns {string} */
export function inventRoomName() {
  const words = WORDS[currentLanguage() === "fr" ? "fr" : "en"].split(/\s+/);
  /** @type {Set<string>} */
  const chosen = new Set();
  while (chosen.size < 3) {
    const [random] = crypto.getRandomValues(new Uint32Array(1));
    chosen.add(words[random % words.length]);
  }
  return [...chosen].join("-");
}

/** What people type or paste, a whole link too, as a room name; empty if nothing is left. @param {string} typed @returns {string} */
export function cleanRoomName(typed) {
  const link = /\/r\/([^/?#\s]+)/.exec(typed);
  let name = link ? link[1] : typed;
  try {
    name = decodeURIComponent(name);
  } catch {
    // A stray % is dropped below like any other sign.
  }
  return name
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_ROOM_NAME)
    .replace(/^-+|-+$/g, "");
}

/** @param {string} room @returns {string} */
export function roomLink(room) {
  return `${location.origin}/r/${room}`;
}

/** Where one speaks to the server about a room. @param {string} room @returns {string} */
export function socketUrl(room) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/r/${room}/ws`;
}
