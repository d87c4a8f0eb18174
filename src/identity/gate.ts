/** Whom a server lets in by TLS: its directory of identities as it is now, in one thread. */
import { statSync } from "node:fs";
import { TlsContext } from "../sys/openssl/context.ts";
import type { TlsEnd } from "../sys/openssl/end.ts";
import { IdentityDirectory, type NameRule, type Names } from "./directory.ts";
import { isOf, isSpiffeId, nameOf, shownBy } from "./names.ts";
import type { RefusalKind } from "./refusals.ts";

const FILES = [
  ...(["authorities.pem", "lists.pem", "names.json"] as const),
  ...(["revoked.pem", "server.pem"] as const),
];

/** Who somebody is, and by which certificate; or why it may not come. */
export type Verdict =
  | { readonly name: string }
  | { readonly refusal: string; readonly kind: RefusalKind };

export class Gate {
  readonly #directory: IdentityDirectory;
  #version = "";
  #context: TlsContext;
  #names: Names;

  /** Throws a sentence where the directory is of no use. */
  constructor(path: string) {
    this.#directory = new IdentityDirectory(path);
    this.#version = this.#currentVersion();
    this.#names = this.#directory.names();
    this.#context = new TlsContext("server", this.#directory.credentials());
  }

  /** For new connections. */
  get context(): TlsContext {
    return this.#context;
  }

  /** Reads again what has changed; whether anything had. Throws where it is of no use, and goes on with the old. */
  refresh(): boolean {
    const version = this.#currentVersion();
    if (version === this.#version) return false;
    this.#version = version;
    const names = this.#directory.names();
    const context = new TlsContext("server", this.#directory.credentials());
    this.#context.free();
    this.#context = context;
    this.#names = names;
    return true;
  }

  /** Who has shown a certificate that TLS has accepted. */
  verdict(end: TlsEnd): Verdict {
    const certificate = end.certificate();
    if (certificate === undefined) return refused("NO_CERTIFICATE", "it has shown no certificate");
    const { uris, serial } = shownBy(certificate);
    const { authority, domain, revoked } = this.#names;
    const name = nameOf(uris, domain);
    const shown = uris.join(", ") || "nobody";
    if (name === undefined) return refused("UNKNOWN_NAME", `its certificate is for ${shown}`);
    if (!isSpiffeId(name) && !isOf(certificate, authority)) {
      return refused("UNKNOWN_AUTHORITY", `its certificate for ${name} is another authority's`);
    }
    if (revoked.includes(serial))
      return refused("REVOKED", `the certificate of ${name} was revoked`);
    if (!Object.hasOwn(this.#names.names, name)) {
      return refused("UNKNOWN_NAME", `${name} is not enrolled`);
    }
    const reason = this.#context.revocationOf(end);
    return reason === undefined
      ? { name }
      : refused("REVOKED", `the certificate of ${name}: ${reason}`);
  }

  /** Why one that was let in may not stay; undefined where it may. */
  refusalOf(end: TlsEnd): string | undefined {
    const verdict = this.verdict(end);
    if ("refusal" in verdict) return verdict.refusal;
    const reason = this.#context.refusalOf(end);
    return reason === undefined ? undefined : `its certificate: ${reason}`;
  }

  /** What holds for who shows a certificate for `uri`; undefined for nobody who may come. */
  ruleOf(uri: string): NameRule | undefined {
    const name = nameOf([uri], this.#names.domain) ?? "";
    return Object.hasOwn(this.#names.names, name) ? this.#names.names[name] : undefined;
  }

  #currentVersion(): string {
    return FILES.map((name) => {
      const found = statSync(this.#directory.file(name), { throwIfNoEntry: false });
      return found === undefined ? "-" : `${found.ino} ${found.mtimeMs} ${found.size}`;
    }).join();
  }
}

function refused(kind: RefusalKind, refusal: string): Verdict {
  return { refusal, kind };
}
