/** What happens on the HOST is told to programs that watch the mount with inotify, and once. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, watch, writeFileSync } from "node:fs";
import type { MountReport } from "../../../src/info/report.ts";
import { eventually } from "../mounts/caller.ts";
import { mountsAt, report, type WorldMount } from "../mounts/world.ts";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { EventStage } from "./stage.ts";

const TOLD_MS = 30_000;
/** Everything that inotify(7) tells of, in a directory that is watched and one that is not. */
const SCRIPT = `
  touch a; echo x >b; echo y >>b; chmod 600 b; mv a c; ln b hard; ln -s x link; mkfifo fifo
  mkdir sub; chmod 700 sub; mv sub sub2; touch sub2/unseen; rm sub2/unseen; rmdir sub2
  mv c ../out; mv ../out in; mv in b; truncate -s 100 b; mv link ..; mv ../link link
  for i in 1 2 3; do echo $i >temp; mv temp config; done
  for i in 1 2 3 4 5 6 7 8 9; do touch f$i; done
  touch short; rm short; rm hard b link fifo f?`;

const stage = new EventStage();
let mount: WorldMount;

beforeAll(async () => {
  await stage.open();
  mount = await stage.mount();
});
afterEach(async () => {
  await stage.endWatchers();
  await stage.watches(mount, 0);
});
afterAll(async () => {
  await stage.close();
});

/** A directory and its content as the kernel knows it here. */
async function known(directory: string): Promise<string> {
  await sh("ls -lR >/dev/null", { cwd: `${mount.target}/${directory}` });
  return `${mount.target}/${directory}`;
}

describe("what the HOST is told, the mount is told", () => {
  test("of a directory", async () => {
    const place = await stage.place("mkdir watched");
    const directory = `${place}/watched`;
    const there = await stage.watcher(`${stage.tree}/${directory}`);
    const here = await stage.watcher(`${mount.target}/${directory}`);
    await stage.watches(mount, 1);
    await sh(SCRIPT, { cwd: `${stage.tree}/${directory}` });
    await stage.settle(directory, 1, [there, here]);
    expect(there.events.length).toBeGreaterThan(60);
    expect(here.events).toEqual(there.events);
    expect(await sh("ls -A", { cwd: `${mount.target}/${directory}` })).toMatch(
      /^config\nend\d+\n$/,
    );
  });

  test("of two directories, and moves from one to the other", async () => {
    const place = await stage.place("mkdir a b; touch a/file; mkdir a/dir; touch a/dir/inside");
    await known(place);
    const paths = ["a", "b"].map((name) => `${place}/${name}`);
    const there = await stage.watcher(...paths.map((path) => `${stage.tree}/${path}`));
    const here = await stage.watcher(...paths.map((path) => `${mount.target}/${path}`));
    await stage.watches(mount, 2);
    const inside = Bun.spawn(["sh", "-c", "read word; exec /bin/pwd -P"], {
      cwd: `${mount.target}/${place}/a/dir`,
      stdio: ["pipe", "pipe", "inherit"],
    });
    await sh("mv a/file b/other; mv a/dir b/dir; mv b/other a; touch b/over; mv a/other b/over", {
      cwd: `${stage.tree}/${place}`,
    });
    await stage.settle(paths[1] as string, 2, [there, here]);
    expect(here.events).toContain("2 MOVED_TO,ISDIR dir (moved here)");
    expect(here.events).toEqual(there.events);
    // Who is in the directory has moved with it.
    inside.stdin.write("\n");
    inside.stdin.end();
    expect(await inside.stdout.text()).toBe(`${mount.target}/${place}/b/dir\n`);
    expect(await sh("ls b/dir", { cwd: `${mount.target}/${place}` })).toBe("inside\n");
  });

  test("of files and directories themselves, with their directory and without", async () => {
    const place = await stage.place(
      "mkdir gone moved far far/gone; for f in f g far/f far/g; do echo 1 >$f; done",
    );
    await known(place);
    const names = ["f", "g", "gone", "moved", "far/f", "far/g", "far/gone", "."];
    const paths = (root: string) => names.map((name) => `${root}/${place}/${name}`);
    const there = await stage.watcher(...paths(stage.tree));
    const here = await stage.watcher(...paths(mount.target));
    await stage.watches(mount, names.length);
    const steps = [
      "for d in . far; do echo 2 >>$d/f; chmod 600 $d/f; touch $d/f; done",
      "for d in . far; do mv $d/f $d/h; echo 3 >$d/h; done",
      "rm h g far/h far/g; touch moved/inside; mv moved far; touch far/moved/again",
      "rmdir gone far/gone",
    ];
    // What is gone before it is told that it was written to is only told to be gone.
    for (const step of steps) {
      await sh(step, { cwd: `${stage.tree}/${place}` });
      await stage.settle(place, names.length, [there, here]);
    }
    for (const one of [there, here]) {
      expect(one.events).toContain("5 MOVE_SELF");
      expect(one.events).toContain("4 CREATE again");
      // Nobody has them open, but the server for a moment.
      for (const ended of [3, 7]) await one.told(`${ended} IGNORED`);
    }
    expect([...here.events].sort()).toEqual([...there.events].sort());
  });

  test("of what the kernel keeps for its watch alone", async () => {
    const place = await stage.place("mkdir dir; touch file");
    const names = ["dir", "file"].map((name) => `${place}/${name}`);
    const there = await stage.watcher(...names.map((name) => `${stage.tree}/${name}`));
    const here = await stage.watcher(...names.map((name) => `${mount.target}/${name}`));
    await stage.watches(mount, 2);
    for (const name of ["a", "b"]) {
      writeFileSync("/proc/sys/vm/drop_caches", "2");
      await sh(`touch dir/${name}; echo ${name} >>file`, { cwd: `${stage.tree}/${place}` });
      await stage.settle(`${place}/dir`, 1, [there, here]);
    }
    expect(here.events).toEqual(there.events);
  });

  test("who reacts to an event sees what the HOST has", async () => {
    const place = await stage.place("echo old >file; touch old");
    const directory = await known(place);
    await sh("cat file; [ ! -e new ]", { cwd: directory });
    const seen: string[] = [];
    const watcher = watch(directory, () => {
      const { stdout } = Bun.spawnSync(["sh", "-c", "cat file; ls"], { cwd: directory });
      seen.push(stdout.toString());
    });
    try {
      await stage.watches(mount, 1);
      appendFileSync(`${stage.tree}/${place}/file`, "new\n");
      await eventually(() => seen.at(-1) === "old\nnew\nfile\nold\n", "the file is read", TOLD_MS);
      // Of the same size: what is cached of it is no longer true nevertheless.
      writeFileSync(`${stage.tree}/${place}/file`, "old\nNEW\n");
      await eventually(() => seen.at(-1) === "old\nNEW\nfile\nold\n", "it is read again", TOLD_MS);
      await sh("mv old new; mkdir sub", { cwd: `${stage.tree}/${place}` });
      await eventually(() => seen.at(-1) === "old\nNEW\nfile\nnew\nsub\n", "it is listed", TOLD_MS);
    } finally {
      watcher.close();
    }
  });
});

test("below the mount, in a mount of the HOST that is mounted here too", async () => {
  const place = await stage.place("mkdir inner");
  const inner = `${place}/inner`;
  await sh(`mount -t tmpfs none inner; mkdir inner/dir`, { cwd: `${stage.tree}/${place}` });
  try {
    const at = `${mount.target}/${inner}`;
    await eventually(() => mountsAt(at).length === 1, "it is mounted here", TOLD_MS);
    const paths = (root: string) => ["", "/dir"].map((name) => `${root}/${inner}${name}`);
    const there = await stage.watcher(...paths(stage.tree));
    const here = await stage.watcher(...paths(mount.target));
    await stage.watches(mount, 2);
    await sh("touch a dir/b; mv a dir; mv dir/b .; mkdir c; rm -r c b; chmod 700 dir .", {
      cwd: `${stage.tree}/${inner}`,
    });
    await stage.settle(inner, 1, [there, here]);
    expect(here.events).toEqual(there.events);
  } finally {
    // That it is watched here does not keep the HOST from unmounting it.
    await sh(`umount ${stage.tree}/${inner}`);
  }
  await eventually(
    () => mountsAt(`${mount.target}/${inner}`).length === 0,
    "it is unmounted here",
    TOLD_MS,
  );
});

describe("once", () => {
  test("what is done on the mount is told by its kernel alone, also when data is copied", async () => {
    const directory = await stage.place("head -c 300000 /dev/urandom >../data");
    const here = await stage.watcher(`${mount.target}/${directory}`);
    await stage.watches(mount, 1);
    const script = `${SCRIPT}; cp ../data copy; fallocate -l 1M copy; flock copy true; rm copy`;
    await sh(script, { cwd: `${mount.target}/${directory}` });
    await stage.settle(directory, 1, [here]);
    const own = here.events;
    await stage.endWatchers();
    const bare = await stage.place();
    const there = await stage.watcher(`${stage.tree}/${bare}`);
    await sh(script, { cwd: `${stage.tree}/${bare}` });
    await stage.settle(bare, 1, [there]);
    const unnumbered = (events: string[]) => events.map((line) => line.replace(/end\d+/, "end"));
    expect(unnumbered(own)).toEqual(unnumbered(there.events));
  });

  test("what one client does, the other is told", async () => {
    const other = await stage.mount();
    const directory = await stage.place();
    const there = await stage.watcher(`${stage.tree}/${directory}`);
    const here = await stage.watcher(`${mount.target}/${directory}`);
    const elsewhere = await stage.watcher(`${other.target}/${directory}`);
    await stage.watches(mount, 1, 2);
    await stage.watches(other, 1, 2);
    for (const at of [mount, other]) {
      await sh(SCRIPT, { cwd: `${at.target}/${directory}` });
      await stage.settle(directory, 1, [there, here, elsewhere]);
    }
    expect(here.events).toEqual(there.events);
    expect(elsewhere.events).toEqual(there.events);
    await stage.endWatchers();
    expect(await stage.world.umount(other.target)).toBe(0);
    await stage.world.vanished(other);
  });
});

describe("programs", () => {
  // It looks every second on file systems that it takes for remote ones, as it does FUSE.
  test("tail -F follows a log of the HOST's over its rotation", async () => {
    const directory = await stage.place("echo one >log");
    const tail = Bun.spawn(["tail", "-F", "-n", "+1", `${mount.target}/${directory}/log`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let said = "";
    const listen = async () => {
      for await (const chunk of tail.stdout) said += new TextDecoder().decode(chunk);
    };
    listen();
    const log = `${stage.tree}/${directory}/log`;
    try {
      await eventually(() => said === "one\n", "tail has begun", TOLD_MS);
      appendFileSync(log, "two\n");
      await eventually(() => said === "one\ntwo\n", "a line is followed", TOLD_MS);
      await sh(`mv ${log} ${log}.1; echo three >>${log}.1; echo four >${log}`);
      await eventually(() => said.endsWith("four\n"), "the new log is followed", TOLD_MS);
      appendFileSync(log, "five\n");
      await eventually(() => said.endsWith("four\nfive\n"), "it is still", TOLD_MS);
      expect(said).toBe("one\ntwo\nthree\nfour\nfive\n");
    } finally {
      tail.kill("SIGKILL");
      await tail.exited;
    }
  });

  test("fs.watch of Node.js is told", async () => {
    const directory = await stage.place();
    const script = `
      require("node:fs").watch(process.argv[1], (kind, name) => console.log(kind, name));
      console.log("ready");`;
    const node = Bun.spawn(["node", "-e", script, `${mount.target}/${directory}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    const listen = async () => {
      for await (const chunk of node.stdout) said += new TextDecoder().decode(chunk);
    };
    listen();
    try {
      await eventually(() => said.startsWith("ready"), "it watches", TOLD_MS);
      await stage.watches(mount, 1);
      mkdirSync(`${stage.tree}/${directory}/made`);
      await eventually(() => said.includes("rename made"), "it is told", TOLD_MS);
    } finally {
      node.kill("SIGKILL");
      await node.exited;
    }
  });
});

test("qtfs info counts watches and events, for people and for programs", async () => {
  const directory = await stage.place();
  const before = (await report<MountReport>(mount.pid)).totals.events as number;
  const here = await stage.watcher(`${mount.target}/${directory}`);
  await stage.watches(mount, 1);
  await sh("touch a b c", { cwd: `${stage.tree}/${directory}` });
  await stage.settle(directory, 1, [here]);
  const { stdout } = await run([QTFS, "info", mount.target]);
  expect(stdout).toMatch(/^ {2}event watches +1$/m);
  const { totals } = await report<MountReport>(mount.pid);
  expect(totals.events as number).toBeGreaterThanOrEqual(before + 9);
  await stage.endWatchers();
  await stage.watches(mount, 0);
});
