// What browsers and newer Node have and Node 18, that of Debian 12, has not.
import { File } from "node:buffer";
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
globalThis.File ??= File;
globalThis.CustomEvent ??= class CustomEvent extends Event {
  constructor(type, { detail = null, ...options } = {}) {
    super(type, options);
    this.detail = detail;
  }
};
