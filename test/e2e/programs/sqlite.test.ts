import { afterAll, describe, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";

const WRITERS = 4;
const ROWS = 100;
const share = await mountTree();
afterAll(share.close);

describe.each(["delete", "wal"])("journal_mode=%s", (mode) => {
  const base = `${share.mountpoint}/${mode}.db`;
  const query = (sql: string) =>
    sh(`sqlite3 -cmd '.timeout 60000' ${base} "$SQL"`, { env: { SQL: sql } });

  test("four writers at once lose no row", async () => {
    expect(await query(`PRAGMA journal_mode=${mode}; CREATE TABLE t (writer INT, row INT);`)).toBe(
      `${mode}\n`,
    );
    const write = async (writer: number) => {
      const inserts = Array.from({ length: ROWS }, (_, row) => {
        return `BEGIN IMMEDIATE; INSERT INTO t VALUES (${writer}, ${row}); COMMIT;`;
      });
      await query(inserts.join("\n"));
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
    expect(await query("SELECT count(*), count(DISTINCT writer * 1000 + row) FROM t")).toBe(
      `${WRITERS * ROWS}|${WRITERS * ROWS}\n`,
    );
    expect(await query("PRAGMA integrity_check")).toBe("ok\n");
  }, 180_000);

  test("a reader sees whole transactions while a writer goes on", async () => {
    await query("CREATE TABLE pairs (a INT); INSERT INTO pairs VALUES (0), (0);");
    const writing = query("UPDATE pairs SET a = a + 1; ".repeat(50));
    const reading = Array.from({ length: 20 }, () => query("SELECT count(DISTINCT a) FROM pairs"));
    expect(new Set(await Promise.all(reading))).toEqual(new Set(["1\n"]));
    await writing;
    expect(await query("SELECT min(a), max(a) FROM pairs")).toBe("50|50\n");
  });

  test("vacuums, and the HOST reads the same rows", async () => {
    await query("DELETE FROM t WHERE row % 2; VACUUM;");
    const file = `${share.tree}/${mode}.db`;
    expect(await sh(`sqlite3 ${file} 'SELECT count(*) FROM t; PRAGMA integrity_check'`)).toBe(
      `${(WRITERS * ROWS) / 2}\nok\n`,
    );
  });
});
