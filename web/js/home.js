/** Starts the front page. */

import { preferredLanguage, useLanguage } from "./language.js";

await useLanguage(preferredLanguage());
await import("../components/appearance/appearance.js");
await import("../components/home/home.js");
