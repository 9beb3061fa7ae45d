/** Starts the page that finds out what is wrong: its element comes once its words are there. */

import { showRememberedTheme } from "../themes.js";
import { preferredLanguage, useLanguage } from "../language.js";
import "../../components/appearance/appearance.js";
import "../../components/diag/diag.js";

showRememberedTheme();
await useLanguage(preferredLanguage());
document.body.prepend(document.createElement("turnd-diag"));
