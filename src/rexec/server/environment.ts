/** Which variables of a client's environment a program gets, and which others. */
import { matches } from "./patterns.ts";

/** What a rule says of variables. It is plain data; names and patterns are bytes (patterns.ts). */
export interface EnvRule {
  /** Patterns of names that are passed. */
  readonly pass: readonly string[];
  /** What is set whatever is passed; `[name, value]`, bytes. */
  readonly set: readonly (readonly [string, string])[];
  /** What is set where nothing of that name is passed. */
  readonly defaults: readonly (readonly [string, string])[];
  /**
   * Whether the program is another user's than the client: then what changes which code runs is
   * passed only where `pass` has its name and no pattern.
   */
  readonly isGuarded: boolean;
}

/** What another user's program is passed where a rule does not say it, if it is no path or format. */
export const PASSED_TO_OTHERS = [
  "LANG",
  "LANGUAGE",
  "LC_*",
  "TERM",
  "COLORTERM",
  "COLUMNS",
  "LINES",
];

/**
 * Variables by which a client could run code of its own, or read files, as the program's user:
 * those that the C library takes from setuid programs (its unsecvars.h), and those of shells
 * and interpreters (sudo's initial_badenv_table).
 */
const DANGEROUS = [
  ["LD_*", "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH"],
  ["MALLOC_*", "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TMPDIR", "TZ", "TZDIR"],
  ["IFS", "CDPATH", "ENV", "BASH_*", "BASHOPTS", "SHELLOPTS", "PS4", "GLOBIGNORE", "FPATH"],
  ["ZDOTDIR", "NULLCMD", "READNULLCMD", "TMPPREFIX", "TERMINFO", "TERMINFO_DIRS", "TERMPATH"],
  [
    "TERMCAP",
    "PERL*",
    "PYTHON*",
    "RUBY*",
    "NODE_*",
    "BUN_*",
    "LUA_*",
    "JAVA_*",
    "_JAVA_*",
    "JDK_*",
  ],
  ["GIT_*", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "XDG_*", "OPENSSL_*", "SSL_*"],
].flat();

/** The environment, `NAME=VALUE` with a NUL each, that comes of `env` by a rule. */
export function environmentBy(env: Buffer, rule: EnvRule): Buffer {
  const made = new Map<string, string>();
  const put = ([name, value]: readonly [string, string]) => made.set(name, `${name}=${value}`);
  rule.defaults.forEach(put);
  for (const entry of env.toString("latin1").split("\0")) {
    const end = entry.indexOf("=");
    if (end > 0 && isPassed(entry.slice(0, end), entry.slice(end + 1), rule)) {
      made.set(entry.slice(0, end), entry);
    }
  }
  rule.set.forEach(put);
  return Buffer.from([...made.values()].map((entry) => `${entry}\0`).join(""), "latin1");
}

function isPassed(name: string, value: string, { pass, isGuarded }: EnvRule): boolean {
  if (!pass.some((pattern) => matches(pattern, name))) return false;
  if (!isGuarded) return true;
  // As a language or a terminal, a path is a file that the C library reads.
  if (isOneOf(PASSED_TO_OTHERS, name) && /[/%]/.test(value)) return false;
  // A value of this form is a function to old shells.
  return pass.includes(name) || !(value.startsWith("()") || isOneOf(DANGEROUS, name));
}

function isOneOf(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matches(pattern, name));
}
