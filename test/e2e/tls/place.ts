/** A server with identities of its own, and files of identities good and bad, for one test file. */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { readIdentity } from "../../../src/identity/client.ts";
import { IdentityDirectory } from "../../../src/identity/directory.ts";
import { clientUri } from "../../../src/identity/names.ts";
import { type CertificateOptions, type KeyPair, makeCertificate } from "../../../src/sys/x509.ts";
import { formatAddress } from "../../../src/transport/address.ts";
import { freeTcpAddress } from "../../fault/proxy/socket.ts";
import { until } from "../support/program.ts";
import { type Result, run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

export const DAY_MS = 24 * 3600 * 1000;
const MOUNT_MS = 30_000;

export class Place {
  readonly directory = mkdtempSync(`${tmpdir()}/tls-`);
  readonly identities = `${this.directory}/identities`;
  readonly tree = `${this.directory}/tree`;
  readonly mountpoint = `${this.directory}/mnt`;
  readonly address = formatAddress(freeTcpAddress());
  #child: Bun.Subprocess | undefined;

  constructor() {
    for (const path of [this.tree, this.mountpoint]) mkdirSync(path);
    writeFileSync(`${this.tree}/file`, "text");
  }

  async start(...options: string[]): Promise<void> {
    const output = openSync(`${this.directory}/log`, "w");
    const words = ["--identities", this.identities, "--state-dir", `/dev/shm/${this.#label}`];
    this.#child = Bun.spawn(
      [QTFS, "server", "--listen", this.address, "--export", this.tree, ...words, ...options],
      { stdio: ["ignore", output, output] },
    );
    closeSync(output);
    await this.says("Listening at");
  }

  get #label(): string {
    return this.directory.replaceAll("/", "-").slice(1);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return readFileSync(`${this.directory}/log`, "utf8");
  }

  /** Waits until the server has logged `text`. */
  async says(text: string): Promise<void> {
    await until(
      () => this.log.includes(text),
      () => `"${text}" in the server's log:\n${this.log}`,
    );
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#child?.exited;
  }

  async close(): Promise<void> {
    await run(["umount", "-l", this.mountpoint]);
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
    rmSync(`/dev/shm/${this.#label}`, { recursive: true, force: true });
  }

  /** `qtfs server WORD …` on its identities; throws unless it succeeds. */
  async identity(...words: string[]): Promise<string> {
    const command = [QTFS, "server", ...words, "--identities", this.identities];
    const { code, stdout, stderr } = await run(command, { cwd: this.directory });
    if (code !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Enrolls `name`; its file. */
  async enroll(name: string, ...options: string[]): Promise<string> {
    const path = `${this.directory}/${name}.identity`;
    await this.identity("enroll", name, "--address", this.address, "--out", path, ...options);
    return path;
  }

  mount(options: string, source = this.tree): Promise<Result> {
    const words = ["mount", "--log-file", `${this.directory}/mount.log`, "-o", options];
    return run([QTFS, ...words, source, this.mountpoint], { timeoutMs: MOUNT_MS });
  }

  umount(): Promise<Result> {
    return run(["umount", this.mountpoint]);
  }

  get mountLog(): string {
    return readFileSync(`${this.directory}/mount.log`, "utf8");
  }

  /** What info counts of the server, by a name as in `qtfs info --json`. */
  async count(name: string): Promise<number> {
    const { stdout } = await run([QTFS, "info", "--json", this.address]);
    const found: { daemons: { totals: Record<string, number> }[] } = JSON.parse(stdout);
    return found.daemons[0]?.totals[name] ?? 0;
  }

  get authority(): KeyPair {
    const text = readFileSync(`${this.identities}/authority.key`, "utf8");
    const at = text.indexOf("-----BEGIN CERTIFICATE-----");
    return { key: text.slice(0, at), certificate: text.slice(at) };
  }

  /** A certificate as our authority would make it, but for `changes`. */
  certificate(name: string, changes: Partial<CertificateOptions> = {}): KeyPair {
    const { domain } = new IdentityDirectory(this.identities).names();
    return makeCertificate({
      commonName: name,
      uri: clientUri(domain, name),
      usage: "client",
      serial: 4711,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      issuer: this.authority,
      ...changes,
    });
  }

  /** A file like that of `good`, with another key and certificate. */
  forge(good: string, { key, certificate }: KeyPair): string {
    const { server } = readIdentity(good);
    const path = `${this.directory}/forged.identity`;
    const text = `server: ${server}\naddress: ${this.address}\n${key}${certificate}`;
    writeFileSync(path, text + this.authority.certificate, { mode: 0o600 });
    return path;
  }
}
