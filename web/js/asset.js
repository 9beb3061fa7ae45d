/** The page's own files are served under the name of their version, which relative references keep. */

/** @param {string} path below the root of the files, such as `styles/mark.svg` @returns {string} its URL, of the version this page is */
export function assetUrl(path) {
  return new URL(`../${path}`, import.meta.url).href;
}
