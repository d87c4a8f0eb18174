/**
 * Every changing operation, by processes that are killed before its system call,
 * after it, and twice: the request sent again is answered as if nothing had
 * happened, and was carried out once.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, linkSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE } from "../../src/sys/io.ts";
import { ioctl } from "../../src/sys/ioctl.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { FileType, Lock, OpenFlag, Rename, SetAttr, SetXattr } from "../../src/wire/constants.ts";
import { SocketType } from "../../src/wire/streams.ts";
import { connected } from "../bridge/program.ts";
import { type Request, Rig } from "./doubtrig.ts";
import { type More, READ_WRITE, Runs, type Where } from "./doubtruns.ts";

const CALLER = [0o022, 0, 0, -1] as const;
const OTHER = [0o022, 1000, 1000, -1] as const;
const APPEND = OpenFlag.WRITE | OpenFlag.APPEND;
const BLOCK = 4096;
const OWNER = 77;
const END = 0x7fff_ffff_ffff_ffffn;
let rig: Rig;
let runs: Runs;

beforeAll(async () => {
  rig = new Rig();
  runs = new Runs(rig);
  await rig.attach();
});
afterAll(() => rig.end());

/** Places besides those after the slot was begun and before the answer is kept. */
const ENDS = 2;
const NOTE = 2;
const COUNT = 1;
const MAKES = ENDS + NOTE + COUNT;

test("MKDIR makes one directory", async () => {
  await runs.everywhere(async ({ node }) => ["MKDIR", [node, "d", 0o755, ...CALLER]], MAKES);
  await runs.everywhere(async ({ node }) => ["MKDIR", [node, "d", 0o700, ...OTHER]], MAKES);
  await runs.everywhere(async ({ node, path }) => {
    mkdirSync(join(path, "d"), 0o700);
    return ["MKDIR", [node, "d", 0o755, ...CALLER]];
  }, ENDS);
});

test("MKNOD makes one file, FIFO or device", async () => {
  for (const type of [FileType.REGULAR, FileType.FIFO, FileType.SOCKET, FileType.CHARACTER]) {
    const rdev = type === FileType.CHARACTER ? (1 << 20) | 3 : 0;
    await runs.everywhere(
      async ({ node }) => ["MKNOD", [node, "f", type | 0o644, rdev, ...OTHER]],
      MAKES,
    );
  }
});

test("SOCKET_BIND makes one socket, which listens", async () => {
  for (const type of [SocketType.STREAM, SocketType.DGRAM]) {
    await runs.everywhere(
      async ({ node }) => ["SOCKET_BIND", [node, "s", FileType.SOCKET | 0o755, ...OTHER, type]],
      MAKES,
      async ({ path }) => close(connected(join(path, "s"), type)),
    );
  }
});

test("SYMLINK makes one link", async () => {
  await runs.everywhere(
    async ({ node }) => ["SYMLINK", [node, "s", "the/target", ...OTHER.slice(1)]],
    MAKES,
  );
});

test("CREATE makes one file and opens it once", async () => {
  for (const flags of [READ_WRITE, OpenFlag.WRITE | OpenFlag.EXCLUSIVE, APPEND]) {
    await runs.everywhere(
      async ({ node }) => ["CREATE", [node, "f", flags, 0o444, ...OTHER]],
      MAKES,
    );
    await runs.everywhere(async ({ file, node }) => {
      file("f");
      return ["CREATE", [node, "f", flags, 0o644, ...CALLER]];
    }, ENDS);
  }
});

test("TMPFILE and OPEN open one file", async () => {
  await runs.everywhere(
    async ({ node }) => ["TMPFILE", [node, READ_WRITE, 0o600, ...OTHER]],
    MAKES,
  );
  for (const flags of [OpenFlag.READ, READ_WRITE | OpenFlag.TRUNCATE]) {
    await runs.everywhere(async ({ file, lookup }) => {
      file("f");
      return ["OPEN", [await lookup("f"), flags, 1]];
    }, ENDS + NOTE);
  }
});

test("UNLINK and RMDIR remove what was there", async () => {
  await runs.everywhere(async ({ file, node, lookup }) => {
    file("f");
    await lookup("f");
    return ["UNLINK", [node, "f"]];
  }, ENDS + NOTE);
  await runs.everywhere(async ({ file, node, path }) => {
    linkSync(file("f"), join(path, "g"));
    return ["UNLINK", [node, "f"]];
  }, ENDS + NOTE);
  await runs.everywhere(async ({ node, path, lookup }) => {
    mkdirSync(join(path, "d"), 0o700);
    await lookup("d");
    return ["RMDIR", [node, "d"]];
  }, ENDS + NOTE);
  await runs.everywhere(async ({ node, path }) => {
    mkdirSync(join(path, "d", "e"), { recursive: true, mode: 0o700 });
    return ["RMDIR", [node, "d"]];
  }, ENDS + NOTE);
  await runs.everywhere(async ({ node }) => ["UNLINK", [node, "f"]], ENDS);
});

test("LINK makes one link", async () => {
  await runs.everywhere(async ({ file, node, lookup }) => {
    file("f");
    return ["LINK", [await lookup("f"), node, "g"]];
  }, MAKES);
  await runs.everywhere(async ({ file, node, lookup, path }) => {
    linkSync(file("f"), join(path, "g"));
    return ["LINK", [await lookup("f"), node, "g"]];
  }, ENDS);
});

test("RENAME renames once, onto nothing and onto another", async () => {
  for (const flags of [0, Rename.NOREPLACE, Rename.WHITEOUT]) {
    await runs.everywhere(async ({ file, node, lookup }) => {
      file("f");
      await lookup("f");
      return ["RENAME", [node, "f", node, "g", flags]];
    }, ENDS + NOTE);
  }
  for (const flags of [0, Rename.NOREPLACE, Rename.WHITEOUT, Rename.EXCHANGE]) {
    await runs.everywhere(async ({ file, node, lookup, path }) => {
      file("f");
      mkdirSync(join(path, "d"), 0o700);
      file("d/g");
      for (const name of ["f", "d"]) await lookup(name);
      return ["RENAME", [node, "f", await lookup("d"), "g", flags]];
    }, ENDS + NOTE);
  }
});

test("RENAME of what the client does not know, of directories, of two names of one file", async () => {
  for (const flags of [0, Rename.EXCHANGE]) {
    await runs.everywhere(async ({ file, node }) => {
      file("f");
      file("g");
      return ["RENAME", [node, "f", node, "g", flags]];
    }, ENDS + NOTE);
    await runs.everywhere(async ({ node, lookup, path }) => {
      for (const name of ["d", "e"]) mkdirSync(join(path, name), 0o700);
      symlinkSync("x", join(path, flags === 0 ? "x" : "e/x"));
      await lookup("d");
      return ["RENAME", [node, "d", node, "e", flags]];
    }, ENDS + NOTE);
    await runs.everywhere(async ({ file, node, lookup, path }) => {
      linkSync(file("f"), join(path, "g"));
      await lookup("f");
      await lookup("g");
      return ["RENAME", [node, "f", node, "g", flags]];
    }, ENDS + NOTE);
  }
  await runs.everywhere(async ({ node }) => ["RENAME", [node, "f", node, "g", 0]], ENDS);
});

test("WRITE at an offset writes what it writes", async () => {
  for (const flags of [0, OpenFlag.SYNC]) {
    await runs.everywhere(async ({ file, open }) => {
      file("f", "0123456789");
      return ["WRITE", [await open("f", READ_WRITE | flags), 8, 0, 0], Buffer.from("xyz")];
    }, ENDS);
  }
});

test("WRITE to the end writes once", async () => {
  for (const flags of [0, OpenFlag.SYNC, OpenFlag.DSYNC]) {
    for (const length of [1, 20, 100_000, 1_048_576]) {
      await runs.everywhere(async ({ file, open }) => {
        file("f", "0123456789");
        const handle = await open("f", APPEND | flags);
        return ["WRITE", [handle, 10, 0, 0], Buffer.alloc(length, "line\n")];
      }, ENDS + NOTE);
    }
  }
});

test("SETATTR sets what it sets", async () => {
  const valid = SetAttr.MODE | SetAttr.UID | SetAttr.SIZE | SetAttr.MTIME_NOW;
  await runs.everywhere(async ({ file, lookup }) => {
    file("f");
    return ["SETATTR", [await lookup("f"), 0, valid, 0o4711, 1000, 0, 3, 0, 0, 0, 0]];
  }, ENDS);
});

test("FALLOCATE moves data once", async () => {
  for (const mode of [FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE]) {
    await runs.everywhere(async ({ file, open }) => {
      file("f", "a".repeat(BLOCK) + "b".repeat(BLOCK) + "c".repeat(BLOCK));
      return ["FALLOCATE", [await open("f"), mode, BLOCK, BLOCK, 0]];
    }, ENDS + NOTE);
  }
  await runs.everywhere(async ({ file, open }) => {
    file("f", "abc");
    return ["FALLOCATE", [await open("f"), 0, 0, BLOCK, 0]];
  }, ENDS);
});

test("COPY_RANGE copies once, also what makes its own source longer", async () => {
  await runs.everywhere(async ({ file, open }) => {
    file("f", "0123456789");
    file("g", "");
    return ["COPY_RANGE", [await open("f"), 2, await open("g"), 1, 100, 0]];
  }, ENDS);
  await runs.everywhere(async ({ file, open }) => {
    file("f", "0123456789");
    return ["COPY_RANGE", [await open("f"), 5, await open("f"), 15, 10, 0]];
  }, ENDS + NOTE);
});

test("SETXATTR and REMOVEXATTR change one attribute", async () => {
  const value = Buffer.from("value");
  const get: More = async ({ lookup }) => {
    const { errno, payload } = await rig.call("GETXATTR", [await lookup("f"), "user.a", 100]);
    return [errno, String(payload)];
  };
  for (const flags of [0, SetXattr.CREATE]) {
    const request = async ({ file, lookup }: Where): Promise<Request> => {
      file("f");
      return ["SETXATTR", [await lookup("f"), "user.a", flags, value.length], value];
    };
    await runs.everywhere(request, ENDS, get);
  }
  const withAttribute = async ({ file, lookup }: Where, old = value) => {
    file("f");
    const node = await lookup("f");
    expect((await rig.call("SETXATTR", [node, "user.a", 0, old.length], old)).errno).toBe(0);
    return node;
  };
  for (const [flags, old] of [
    [SetXattr.CREATE, value],
    [SetXattr.REPLACE, Buffer.from("old")],
  ] as const) {
    const request = async (at: Where): Promise<Request> => {
      const node = await withAttribute(at, old);
      return ["SETXATTR", [node, "user.a", flags, value.length], value];
    };
    await runs.everywhere(request, ENDS, get);
  }
  await runs.everywhere(
    async (at) => ["REMOVEXATTR", [await withAttribute(at), "user.a"]],
    ENDS,
    get,
  );
  await runs.everywhere(
    async ({ file, lookup }) => {
      file("f");
      return ["REMOVEXATTR", [await lookup("f"), "user.a"]];
    },
    ENDS,
    get,
  );
});

test("locks are held once, by whom they were asked for", async () => {
  for (const type of [Lock.READ, Lock.WRITE]) {
    await runs.everywhere(async ({ file, lookup, open }) => {
      file("f");
      const [node, handle] = [await lookup("f"), await open("f")];
      return ["SETLK", [node, handle, OWNER, type, 0n, END, 1, 0]];
    }, ENDS);
    await runs.everywhere(async ({ file, open }) => {
      file("f");
      return ["FLOCK", [await open("f"), type, 0]];
    }, ENDS);
  }
  for (const op of ["SETLK", "UNLOCK"] as const) {
    await runs.everywhere(async ({ file, lookup, open }) => {
      file("f");
      const [node, handle] = [await lookup("f"), await open("f")];
      await rig.ok("SETLK", node, handle, OWNER, Lock.WRITE, 0n, 99n, 1, 0);
      if (op === "UNLOCK") return [op, [node, OWNER]];
      return [op, [node, handle, OWNER, Lock.UNLOCK, 10n, 19n, 1, 0]];
    }, ENDS);
  }
});

/** FS_IOC_GETFLAGS */
function flagsOf(path: string): number {
  const FS_IOC_GETFLAGS = 0x80086601;
  const fd = openSync(path, "r");
  const argument = allocate(8);
  expect(ioctl(fd, FS_IOC_GETFLAGS, argument.address)).toBe(0);
  const flags = argument.view.getUint32(0, true);
  free(argument);
  closeSync(fd);
  return flags;
}

test("IOCTL sets what it sets", async () => {
  const FS_IOC_SETFLAGS = 0x40086602;
  const FS_NODUMP_FL = 0x40;
  const argument = Buffer.alloc(8);
  await runs.everywhere(async ({ file, lookup }) => {
    // As chattr(1) does: without those that it has, ext4 would turn its extents into blocks, and may refuse.
    argument.writeUInt32LE(flagsOf(file("f")) | FS_NODUMP_FL);
    return ["IOCTL", [await lookup("f"), 0, FS_IOC_SETFLAGS, 8], argument];
  }, ENDS);
});

test("ATTACH attaches once", async () => {
  const fresh = new Rig();
  const request: Request = ["ATTACH", [fresh.share, 1, 0]];
  expect(await fresh.callKilled(request, "before the answer is kept")).toBeUndefined();
  const reply = await fresh.repeat(request);
  expect([reply.errno, reply.results[2]]).toEqual([0, 1]);
  expect(fresh.tree.nodes.count).toBe(1);
  fresh.end();
});
