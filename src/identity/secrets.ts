/** Files with keys: read only where nobody else may, and written so that nobody else ever can. */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";

const OTHERS = 0o077;
const OWNER_ALONE = 0o600;

/**
 * The text of `path`, which must be a regular file of root's or of this user's that nobody else
 * may read or write; throws a sentence that does not repeat any of it.
 */
export function readSecret(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const { mode, uid } = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error(`${path} is no file`);
    if (uid !== 0 && uid !== process.geteuid?.()) {
      throw new Error(`${path} is user ${uid}'s, who is not to be trusted with it`);
    }
    if ((mode & OTHERS) !== 0) {
      throw new Error(`${path} holds a key, and others have rights to it: chmod 600 ${path}`);
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/** Puts `text` in the place of `path`, whole or not at all, for this user alone. */
export function writeSecret(path: string, text: string): void {
  const temporary = `${path}.new`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const fd = openSync(temporary, flags, OWNER_ALONE);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

/** The PEM blocks of `text` whose label matches, in their order. */
export function pemBlocks(text: string, label: RegExp): string[] {
  const blocks = text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g);
  return [...blocks].filter(([, found]) => label.test(found as string)).map(([block]) => block);
}

export const CERTIFICATE = /^CERTIFICATE$/;
export const KEY = /PRIVATE KEY$/;
export const REVOCATIONS = /^X509 CRL$/;
