/** A PostgreSQL server of a test's own, run as Debian's user postgres. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { type Result, run, sh } from "./run.ts";

const BIN = "/usr/lib/postgresql/15/bin";
const START_MS = 60_000;
const STOP_MS = 60_000;

export interface Postgres {
  /** Runs a program of PostgreSQL against the server; throws where it fails. */
  client(command: string): Promise<string>;
  /** What one query returns: columns divided by `|`, rows by newlines. */
  query(sql: string): Promise<string>;
  /** `fast`: a clean shutdown. `immediate`: as after a crash. Waits for the end; may be repeated. */
  stop(how: "fast" | "immediate"): Promise<void>;
}

/** The number of the user who may run PostgreSQL, which refuses root. */
export async function postgresUid(): Promise<number> {
  return Number(await sh("id -u postgres"));
}

/** Runs `initdb` for an empty directory that belongs to the user postgres. */
export async function initialize(data: string): Promise<void> {
  const uid = await postgresUid();
  await sh(`${BIN}/initdb -D ${data} -A trust --data-checksums`, { uid, cwd: "/" });
}

/** Starts a server on `data`; its socket and log are in `runtime`. */
export async function startPostgres(data: string, runtime: string): Promise<Postgres> {
  const uid = await postgresUid();
  const path = `${runtime}/postgres.log`;
  const output = openSync(path, "a");
  const settings = ["listen_addresses=", `unix_socket_directories=${runtime}`];
  const server = Bun.spawn(
    [
      ...["setpriv", "--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"],
      ...[`${BIN}/postgres`, "-D", data],
      ...settings.flatMap((setting) => ["-c", setting]),
    ],
    { cwd: "/", stdin: "ignore", stdout: output, stderr: output },
  );
  closeSync(output);

  const asClient = (command: string): Promise<Result> =>
    run(["bash", "-c", `${BIN}/${command}`], { uid, cwd: "/", env: { PGHOST: runtime } });
  const client = async (command: string) => {
    const { code, stdout, stderr } = await asClient(command);
    if (code !== 0) {
      const log = readFileSync(path, "utf8").slice(-2000);
      throw new Error(`${command}: exit code ${code}\n${stdout}${stderr}\nserver:\n${log}`);
    }
    return stdout;
  };
  const query = async (sql: string) =>
    (await client(`psql -X -At -v ON_ERROR_STOP=1 -c "${sql}"`)).trim();
  const stop = async (how: "fast" | "immediate") => {
    server.kill(how === "fast" ? "SIGINT" : "SIGQUIT");
    await Promise.race([server.exited, Bun.sleep(STOP_MS)]);
    if (server.exitCode === null) throw new Error(`PostgreSQL did not stop (${how})`);
  };

  const endMs = performance.now() + START_MS;
  while ((await asClient("pg_isready -q")).code !== 0) {
    if (server.exitCode !== null || performance.now() > endMs) {
      server.kill("SIGQUIT");
      throw new Error(`PostgreSQL did not start:\n${readFileSync(path, "utf8")}`);
    }
    await Bun.sleep(100);
  }
  return { client, query, stop };
}
