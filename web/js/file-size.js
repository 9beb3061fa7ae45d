/** How large a file is, in words of a language. */

const UNITS = ["kilobyte", "megabyte", "gigabyte", "terabyte"];

/** @param {number} bytes @param {string} language */
export function fileSize(bytes, language) {
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const options = { style: "unit", unit: UNITS[unit], unitDisplay: "short", maximumFractionDigits: unit > 0 && value < 10 ? 1 : 0 };
  return new Intl.NumberFormat(language, /** @type {Intl.NumberFormatOptions} */ (options)).format(unit === 0 ? Math.max(1, value) : value);
}

/**
 * A file's name without the signs that turn text around: they can make `gpj.exe` look like `exe.jpg`.
 * @param {string} name
 */
export function plainName(name) {
  return name.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
}
