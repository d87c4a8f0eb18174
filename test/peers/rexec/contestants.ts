/** Who runs a program somewhere else: what stands before its name, and what must run for it. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { until } from "../../e2e/support/program.ts";
import { run } from "../bench/processes.ts";

export interface Contestant {
  readonly name: string;
  /** Words before the program's. */
  readonly prefix: readonly string[];
}

/** Daemons that were started for the bench. */
export class Stage {
  readonly #directory: string;
  readonly #qtfs: string;
  readonly #daemons: Bun.Subprocess[] = [];

  constructor(directory: string, qtfs: string) {
    this.#directory = directory;
    this.#qtfs = qtfs;
  }

  /** All of them, up and reached once. */
  async start(): Promise<Contestant[]> {
    const unix = `unix://${this.#directory}/rexec.sock`;
    const tcp = `tcp://127.0.0.1:${await freePort()}`;
    const allowed = ["--insecure", "--allow", "*"];
    this.#spawn([this.#qtfs, "rexec-server", "--listen", unix]);
    this.#spawn([this.#qtfs, "rexec-server", "--listen", tcp, ...allowed]);
    const ssh = await this.#startSsh();
    const contestants = [
      { name: "native", prefix: [] },
      { name: "rexec-unix", prefix: [this.#qtfs, "rexec", "--server", unix] },
      { name: "rexec-tcp", prefix: [this.#qtfs, "rexec", "--server", tcp] },
      { name: "ssh-mux", prefix: [...ssh, "-S", `${this.#directory}/mux`, "bench"] },
      { name: "ssh", prefix: [...ssh, "-S", "none", "bench"] },
    ];
    for (const { name, prefix } of contestants) {
      const isUp = async () => (await Bun.spawn([...prefix, "true"], QUIET).exited) === 0;
      await until(isUp, () => `an answer of ${name}`);
    }
    return contestants;
  }

  /** An sshd of our own, and a connection that others share; the words of ssh(1). */
  async #startSsh(): Promise<string[]> {
    const key = `${this.#directory}/key`;
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], {});
    await run(["cp", `${key}.pub`, `${this.#directory}/allowed`], {});
    if (!existsSync("/run/sshd")) mkdirSync("/run/sshd");
    const port = await freePort();
    const server = [
      ...[`HostKey ${key}`, `AuthorizedKeysFile ${this.#directory}/allowed`],
      ...["ListenAddress 127.0.0.1", `Port ${port}`, "PermitRootLogin yes", "StrictModes no"],
      ...["UsePAM no", "UseDNS no", "PidFile none", "MaxStartups 100"],
    ];
    const client = [
      ...["Host bench", "HostName 127.0.0.1", `Port ${port}`, `IdentityFile ${key}`],
      ...["User root", "StrictHostKeyChecking no", "UserKnownHostsFile /dev/null"],
      ...["LogLevel ERROR", "IdentitiesOnly yes"],
    ];
    writeFileSync(`${this.#directory}/sshd_config`, `${server.join("\n")}\n`);
    writeFileSync(`${this.#directory}/ssh_config`, `${client.join("\n")}\n`);
    this.#spawn(["/usr/sbin/sshd", "-D", "-e", "-f", `${this.#directory}/sshd_config`]);
    const ssh = ["ssh", "-F", `${this.#directory}/ssh_config`];
    const isUp = async () => (await Bun.spawn([...ssh, "bench", "true"], QUIET).exited) === 0;
    await until(isUp, () => "an sshd");
    this.#spawn([...ssh, "-M", "-N", "-S", `${this.#directory}/mux`, "bench"]);
    return ssh;
  }

  #spawn(command: string[]): void {
    this.#daemons.push(Bun.spawn(command, QUIET));
  }

  async end(): Promise<void> {
    // A rexec-server takes what keeps its programs with it.
    for (const daemon of this.#daemons.reverse()) daemon.kill("SIGINT");
    await Promise.race([Promise.all(this.#daemons.map(({ exited }) => exited)), Bun.sleep(5000)]);
    for (const daemon of this.#daemons) daemon.kill("SIGKILL");
  }
}

const QUIET = { stdio: ["ignore", "ignore", "ignore"] as ["ignore", "ignore", "ignore"] };

/** A TCP port of the loopback that nobody listens at. */
async function freePort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
