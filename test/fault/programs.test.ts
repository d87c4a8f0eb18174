/** sqlite3 and git at work while connections are cut and processes killed: consistent, and nothing lost. */
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { sh } from "../e2e/support/run.ts";
import { at } from "./check/outcome.ts";
import type { Kind } from "./plan.ts";
import { withStage } from "./scenarios/with-stage.ts";
import type { Stage } from "./stage.ts";
import { strikeInTurn } from "./strike.ts";

const KINDS: readonly Kind[] = ["server-kills", "cuts", "mount-kills", "cuts"];
const PAUSE_MS = 300;
const FAULTS = 8;
const WRITERS = 4;
const TIMEOUT_MS = 240_000;

/** Has `work` done again and again while all faults are done; how often. */
async function throughFaults(stage: Stage, seed: number, work: (round: number) => Promise<void>) {
  let isOver = false;
  const striking = strikeInTurn(stage, seed, KINDS, FAULTS, PAUSE_MS).finally(() => {
    isOver = true;
  });
  // A failure is seen below; until then somebody must listen for it.
  striking.catch(() => {});
  let rounds = 0;
  while (!isOver) await work(rounds++);
  const texts = (await striking).map(({ text, fromMs }) => `  ${at(fromMs)} ${text}`);
  console.log([`${rounds} rounds of work through:`, ...texts].join("\n"));
  return rounds;
}

test.each(["delete", "wal"])(
  "sqlite3, journal_mode=%s",
  async (mode) => {
    await withStage({ kind: "unix" }, async (stage) => {
      const base = `${stage.mountpoint}/base.db`;
      const query = (sql: string, file = base) => {
        return sh(`sqlite3 -bail -cmd '.timeout 60000' ${file} "$SQL"`, {
          env: { SQL: sql },
          timeoutMs: 60_000,
        });
      };
      await query(`PRAGMA journal_mode=${mode}; CREATE TABLE t (writer INT, row INT);`);
      const rows = 8;
      const rounds = await throughFaults(stage, 11, async (round) => {
        const write = (writer: number) => {
          const inserts = Array.from({ length: rows }, (_, row) => {
            const values = `${writer}, ${round * rows + row}`;
            return `BEGIN IMMEDIATE; INSERT INTO t VALUES (${values}); COMMIT;`;
          });
          return query(inserts.join("\n"));
        };
        await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
      });
      const all = WRITERS * rows * rounds;
      const wanted = `${all}|${all}\nok\n`;
      const check =
        "SELECT count(*), count(DISTINCT writer * 1000000 + row) FROM t; PRAGMA integrity_check";
      expect(await query(check)).toBe(wanted);
      expect(await query(check, `${stage.tree}/base.db`)).toBe(wanted);
    });
  },
  TIMEOUT_MS,
);

test(
  "git",
  async () => {
    await withStage({ kind: "tcp" }, async (stage, directory) => {
      mkdirSync(`${directory}/home`);
      const env = {
        HOME: `${directory}/home`,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "A",
        GIT_AUTHOR_EMAIL: "a@example.org",
        GIT_COMMITTER_NAME: "A",
        GIT_COMMITTER_EMAIL: "a@example.org",
      };
      const git = (script: string, cwd = `${stage.mountpoint}/work`) => {
        return sh(script, { cwd, env, timeoutMs: 120_000 });
      };
      mkdirSync(`${stage.tree}/work`);
      await git("git init -q -b main .; git config core.fsync all");
      const rounds = await throughFaults(stage, 12, async (round) => {
        await git(
          `for f in 1 2 3 4 5 6 7 8 9 10; do seq ${round} $((${round} + f * 50)) > file$f; done
         git add .
         git commit -qm ${round}
         git tag tag${round}
         git mv file1 moved${round}
         git commit -qam moved${round}
         git mv moved${round} file1
         git commit -qam back${round}
         if [ $((${round} % 3)) = 2 ]; then git gc -q --prune=now; fi`,
        );
      });
      const look = "git rev-list --count HEAD; git tag | wc -l; git status --porcelain";
      const wanted = `${rounds * 3}\n${rounds}\n`;
      const places = [`${stage.mountpoint}/work`, `${stage.tree}/work`];
      const seen = await Promise.all(places.map((cwd) => git(look, cwd)));
      expect(seen).toEqual([wanted, wanted]);
      for (const cwd of places) await git("git fsck --full --strict --no-dangling 2>&1", cwd);
    });
  },
  TIMEOUT_MS,
);
