/** The findings as text to send to whoever helps: no secrets, no addresses but that of this page. */

import { t } from "../language.js";
import { CHECKS } from "./finding.js";
import { verdict } from "./verdict.js";

/** @typedef {import("./finding.js").Finding} Finding */
/** @typedef {import("./finding.js").Findings} Findings */

/** What a finding says beyond its one word; empty if nothing. @param {Finding} finding @returns {string} */
export function details({ key, values }) {
  return key ? t(key, values) : "";
}

/** @param {Findings} findings @returns {string} the sentence */
export function sentence(findings) {
  const says = verdict(findings);
  return says ? t(says.key, says.values) : "";
}

/** @param {Findings} findings @param {{host: string, browser: string, at: Date}} about @returns {string} */
export function reportText(findings, { host, browser, at }) {
  const lines = CHECKS.map((check) => {
    const finding = findings[check];
    const name = t(`diag.check.${check}`);
    if (!finding) return `- ${name}: ${t("diag.outcome.untested")}`;
    const said = [t(`diag.outcome.${finding.outcome}`), details(finding), finding.reason ? `(${finding.reason})` : ""];
    return `- ${name}: ${said.filter(Boolean).join(" ")}`;
  });
  return [`turnd, ${host}, ${at.toISOString().slice(0, 16).replace("T", " ")} UTC`, browser, "", sentence(findings), "", ...lines, ""].join("\n");
}
