import { afterAll, expect, test } from "bun:test";
import { chownSync, mkdirSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { initialize, type Postgres, postgresUid, startPostgres } from "../support/postgres.ts";

const MINUTES = 60_000;
const share = await mountTree();
let running: Postgres | undefined;
afterAll(async () => {
  await running?.stop("immediate");
  await share.close();
});

const data = `${share.mountpoint}/data`;
const runtime = `${share.bare}/runtime`;
const uid = await postgresUid();
for (const directory of [data, runtime]) {
  mkdirSync(directory, { mode: 0o700 });
  chownSync(directory, uid, uid);
}

/** What pgbench's accounts, tellers, branches and history must agree on. */
const BALANCES = `SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta),
  (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta),
  (SELECT sum(bbalance) FROM pgbench_branches) = sum(delta), count(*) > 0 FROM pgbench_history`;

/** Checks every page's checksum, every index entry and the accounts. */
async function expectSound(postgres: Postgres): Promise<void> {
  await postgres.client("pg_amcheck --install-missing --heapallindexed --progress postgres");
  expect(await postgres.query(BALANCES)).toBe("t|t|t|t");
}

async function start(): Promise<Postgres> {
  running = await startPostgres(data, runtime);
  return running;
}

const transactions = (postgres: Postgres) => postgres.query("SELECT count(*) FROM pgbench_history");

let committed = "";

test(
  "initdb, pgbench with 4 clients, and all of it is sound",
  async () => {
    await initialize(data);
    const postgres = await start();
    await postgres.client("pgbench -q -i -s 5 postgres");
    const report = await postgres.client("pgbench -c 4 -T 5 postgres");
    expect(report).toContain("number of failed transactions: 0 ");
    await expectSound(postgres);
    committed = await transactions(postgres);
    expect(report).toContain(`number of transactions actually processed: ${committed}\n`);
    await postgres.stop("fast");
  },
  5 * MINUTES,
);

test(
  "stopped, unmounted, mounted and started again, it is all there",
  async () => {
    await share.umount();
    await share.mount();
    const postgres = await start();
    expect(await transactions(postgres)).toBe(committed);
    await expectSound(postgres);
    await postgres.client("pgbench -n -c 4 -t 50 postgres");
    await postgres.stop("immediate");
  },
  5 * MINUTES,
);

test(
  "after an immediate stop it recovers every committed transaction",
  async () => {
    await share.umount();
    await share.mount();
    const postgres = await start();
    expect(await transactions(postgres)).toBe(`${Number(committed) + 200}`);
    await expectSound(postgres);
    await postgres.client("vacuumdb -q --full --analyze postgres");
    await expectSound(postgres);
    await postgres.stop("fast");
  },
  5 * MINUTES,
);
