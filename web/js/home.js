/** Starts the front page: its element comes once its words are there. */

import { showRememberedTheme } from "./themes.js";
import { preferredLanguage, useLanguage } from "./language.js";
import "../components/appearance/appearance.js";
import "../components/home/home.js";

showRememberedTheme();
await useLanguage(preferredLanguage());
document.body.prepend(document.createElement("turnd-home"));
