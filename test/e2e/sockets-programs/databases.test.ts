/** PostgreSQL and Redis on one machine, their clients on the other, by their unix sockets. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Machines, type Way } from "../support/machines.ts";
import { postgresUid } from "../support/postgres.ts";
import { type Program, until } from "../support/program.ts";
import { sh } from "../support/run.ts";

const MINUTES = 60_000;
const BIN = "/usr/lib/postgresql/15/bin";
const machines = await Machines.start();
const uid = await postgresUid();
const template = `${machines.scratch}/template`;
const running: Program[] = [];
afterEach(async () => {
  for (const program of running.splice(0)) if (!program.hasEnded) await program.stop("SIGINT");
});
afterAll(() => machines.close());

beforeAll(async () => {
  await sh(`install -d -o ${uid} -g ${uid} ${template}`);
  // Whoever connects has to be who he says: SO_PEERCRED decides.
  await sh(`${BIN}/initdb -D ${template} -A peer --no-sync`, { uid, cwd: "/" });
}, MINUTES);

/** Starts PostgreSQL with its socket in `here`. */
async function startPostgres(way: Way, here: string): Promise<void> {
  const data = `${machines.scratch}/data${here.split("/").at(-1)}`;
  await sh(`cp -a ${template} ${data}`);
  const settings = ["listen_addresses=", `unix_socket_directories=${here}`, "fsync=off"];
  const options = settings.flatMap((setting) => ["-c", setting]);
  const server = way.server.spawn([`${BIN}/postgres`, "-D", data, ...options], { uid });
  running.push(server);
  await server.prints("database system is ready to accept connections");
}

describe.each(machines.ways)("$name", (way) => {
  const { server, client, directory } = way;

  test(
    "PostgreSQL: psql, pgbench, a copy, a cancelled query",
    async () => {
      const here = directory();
      await startPostgres(way, here);
      const as = { uid, env: { PGHOST: here } };
      await client.sh(`${BIN}/pgbench -q -i -s 1 postgres`, as);
      const report = await client.sh(`${BIN}/pgbench -n -c 8 -j 2 -t 50 postgres`, as);
      expect(report).toContain("number of transactions actually processed: 400/400\n");

      // The same rows through one connection and another come back as they went.
      await client.sh(
        `psql -Xq -c 'COPY pgbench_accounts TO STDOUT' postgres >${here}/rows
         psql -Xq -c 'CREATE TABLE again (LIKE pgbench_accounts)' postgres
         psql -Xq -c 'COPY again FROM STDIN' postgres <${here}/rows
         psql -Xq -c 'COPY again TO STDOUT' postgres | cmp - ${here}/rows`,
        as,
      );

      const sleeper = client.spawn(["psql", "-X", "-c", "SELECT pg_sleep(100)", "postgres"], as);
      const active = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'";
      await until(
        async () => (await server.sh(`psql -XAt -c "${active}" postgres`, as)) === "1\n",
        () => `the query that is to be cancelled: ${sleeper}`,
      );
      await sleeper.kill("SIGINT");
      expect(await sleeper.ended()).toBe(1);
      expect(sleeper.stderr).toContain("canceling statement due to user request");

      const other = await client.run(["psql", "-XU", "postgres", "-h", here, "-c", "SELECT 1"]);
      expect(other.stderr).toContain('Peer authentication failed for user "postgres"');
    },
    MINUTES,
  );

  test(
    "Redis: redis-cli, redis-benchmark, a large value, one who waits",
    async () => {
      const path = `${directory()}/redis.sock`;
      const settings = ["--port", "0", "--unixsocket", path, "--save", ""];
      const redis = server.spawn(["redis-server", ...settings], { cwd: machines.scratch });
      running.push(redis);
      await redis.prints("ready to accept connections");
      const cli = `redis-cli -s ${path}`;
      expect(await client.sh(`${cli} ping`)).toBe("PONG\n");
      await client.sh(`redis-benchmark -s ${path} -q -c 50 -n 5000 -t set,get,lrange_100`);
      await client.sh(`redis-benchmark -s ${path} -q -c 10 -P 50 -n 50000 -t incr`);
      expect(await server.sh(`${cli} get counter:__rand_int__`)).toBe("50000\n");

      const large = `${machines.scratch}/large`;
      await sh(`head -c 5000000 /dev/urandom | base64 -w0 >${large}`);
      await client.sh(
        `${cli} -x set large <${large}; ${cli} --raw get large | head -c -1 | cmp - ${large}`,
      );

      const waiting = client.spawn(["redis-cli", "-s", path, "--raw", "blpop", "queue", "0"]);
      const clients = `${cli} client list`;
      await until(
        async () => (await server.sh(clients)).includes("cmd=blpop"),
        () => `one who waits: ${waiting}`,
      );
      await server.sh(`${cli} rpush queue at-last`);
      expect(await waiting.output()).toBe("queue\nat-last\n");

      // The death of a client is seen by the server, that of the server by a client.
      const killed = client.spawn(["redis-cli", "-s", path, "blpop", "queue", "0"]);
      await until(
        async () => (await server.sh(clients)).includes("cmd=blpop"),
        () => `${killed}`,
      );
      await killed.stop("SIGKILL");
      await until(
        async () => !(await server.sh(clients)).includes("cmd=blpop"),
        () => "its end",
      );
      const left = client.spawn(["redis-cli", "-s", path, "blpop", "queue", "0"]);
      await until(
        async () => (await server.sh(clients)).includes("cmd=blpop"),
        () => `${left}`,
      );
      await redis.stop("SIGKILL");
      expect(await left.ended()).toBe(1);
      expect(`${left.stdout}${left.stderr}`).toMatch(
        /Server closed the connection|reset by peer|refused/,
      );
    },
    MINUTES,
  );
});
