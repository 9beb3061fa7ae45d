/** Plain words for a camera or microphone that did not start: what happened, and where to press in this very browser. */

import { t } from "../../js/language.js";

/** @typedef {import("../../js/state.js").CaptureProblem} CaptureProblem */

/** @returns {string} */
function browserFamily() {
  const agent = navigator.userAgent;
  if (/iPhone|iPad/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1)) return "ios";
  if (/Android/.test(agent)) return "android";
  if (/Firefox\//.test(agent)) return "firefox";
  if (/Chrome\//.test(agent)) return "chromium";
  return /Safari\//.test(agent) ? "safari" : "other";
}

/** @returns {string} */
function systemFamily() {
  const agent = navigator.userAgent;
  if (/Windows/.test(agent)) return "system-windows";
  return /Macintosh/.test(agent) && navigator.maxTouchPoints <= 1 ? "system-mac" : "system-other";
}

/** @param {CaptureProblem} problem @returns {string} */
export function captureHelp({ what, reason }) {
  const thing = t(`problem.thing.${what}`);
  switch (reason) {
    case "NotAllowedError":
    case "SecurityError":
      return t("problem.refused", { thing });
    case "NotFoundError":
    case "OverconstrainedError":
      return t("problem.missing", { thing });
    case "NotReadableError":
    case "AbortError":
      return t("problem.taken", { thing });
    case "dismissed":
    case "system":
    case "unplugged":
      return t(`problem.${reason}`, { thing });
    case "insecure":
      return t("problem.insecure");
    default:
      return t("problem.other", { thing, reason });
  }
}

/** What to do about it, one thing after the other. @param {CaptureProblem} problem @returns {string[]} */
export function captureSteps({ reason }) {
  if (reason === "system") return t(`problem.steps.${systemFamily()}`).split("\n");
  return reason === "NotAllowedError" || reason === "SecurityError" ? t(`problem.steps.${browserFamily()}`).split("\n") : [];
}
