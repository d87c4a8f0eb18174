/** Mounts of an offload. What stands at a place is read from mountinfo, which waits for nobody. */
import { closeSync, existsSync, openSync, realpathSync, rmSync, statSync } from "node:fs";
import { type MountLine, mounts } from "../../info/mountinfo.ts";
import { execute, type Step, shellLine } from "../step.ts";

/** The mount at `target` that is seen there, none that lies below another; undefined where there is none. */
export function mountAt(target: string, all = mounts()): MountLine | undefined {
  const ids = new Set(all.map(({ id }) => id));
  let at = all.find(({ mountpoint, parent }) => mountpoint === "/" && !ids.has(parent));
  for (let next = at; next !== undefined; ) {
    at = next;
    // Of those in it the one that a walk to the target meets first.
    [next] = all
      .filter(({ parent, mountpoint }) => parent === at?.id && isOnWay(mountpoint, target))
      .sort((one, other) => one.mountpoint.length - other.mountpoint.length);
  }
  return at?.mountpoint === target ? at : undefined;
}

function isOnWay(mountpoint: string, target: string): boolean {
  return target === mountpoint || target.startsWith(mountpoint === "/" ? "/" : `${mountpoint}/`);
}

/** Throws where `target` is reached by a symbolic link: an absolute one would lead out of the root. */
function checkPlace(target: string): void {
  const real = realpathSync(target);
  if (real !== target) throw new Error(`${target} is ${real} by a symbolic link: name that`);
}

/** Takes away all that is mounted at `target` and below, be it in use. */
async function unmount(target: string, first: readonly string[]): Promise<void> {
  if (mountAt(target) === undefined) return;
  try {
    await execute([...first, target]);
  } catch {
    await execute(["umount", "--recursive", "--lazy", target]);
  }
}

const UMOUNT = ["umount", "--recursive"];

/** A tree of this machine, at `target` too; what is mounted in one later is not seen in the original. */
export function bind(source: string, target: string): Step {
  const commands = [
    ["mount", "--rbind", source, target],
    ["mount", "--make-rslave", target],
  ];
  return {
    name: `bind ${target}`,
    commands: commands.map(shellLine),
    isDone: () => mountAt(target) !== undefined,
    run: async () => {
      for (const command of commands) await execute(command);
      return null;
    },
    undo: () => unmount(target, UMOUNT),
  };
}

/** The directory `path` as a mount: only of a mount can it be said where what is mounted in it is seen. */
export function mountpoint(path: string, propagation: "private" | "shared" = "private"): Step {
  const commands = [
    ["mount", "--bind", path, path],
    ["mount", `--make-${propagation}`, path],
  ];
  return {
    name: `mountpoint ${path}`,
    commands: commands.map(shellLine),
    isDone: () => {
      const mount = mountAt(path);
      return mount !== undefined && (propagation === "private" || mount.isShared);
    },
    run: async () => {
      for (const command of commands) await execute(command);
      return null;
    },
    undo: () => unmount(path, UMOUNT),
  };
}

/**
 * The directory `path` as ip-netns(8) makes it before its first namespace: a mount of its own. What
 * has it open by then would not see what is mounted in it later. It stays while others use it.
 */
export function networksRoom(path: string): Step {
  const commands = [
    ["mount", "--bind", path, path],
    ["mount", "--make-shared", path],
  ];
  return {
    name: `networks ${path}`,
    commands: commands.map(shellLine),
    isDone: () => mountAt(path) !== undefined,
    run: async () => {
      for (const command of commands) await execute(command);
      return null;
    },
    undo: async (note) => {
      const isUsed = mounts().some(({ mountpoint }) => mountpoint.startsWith(`${path}/`));
      if (note === null && !isUsed && mountAt(path) !== undefined) await execute(["umount", path]);
    },
  };
}

/** A new mount of a file system of this kernel. */
export function kernelMount(type: string, target: string, options = "rw"): Step {
  const command = ["mount", "-t", type, "-o", options, type, target];
  return {
    name: `${type} ${target}`,
    commands: [shellLine(command)],
    isDone: () => mountAt(target)?.type === type,
    run: async () => {
      await execute(command);
      return null;
    },
    undo: () => unmount(target, UMOUNT),
  };
}

/** The HOST's `source` at `target`, by `qtfs mount` with `options`. */
export function share(qtfs: string, source: string, target: string, options: string): Step {
  const command = [qtfs, "mount", "-o", options, source, target];
  return {
    name: `share ${target}`,
    commands: [shellLine(command)],
    isDone: () => isShared(source, target),
    run: async () => {
      checkPlace(target);
      await execute(command);
      return null;
    },
    undo: () => unmount(target, UMOUNT),
  };
}

/** Whether the mount is there and answers; one whose process is gone does not count. */
async function isShared(source: string, target: string): Promise<boolean> {
  const mount = mountAt(target);
  if (mount?.type !== "fuse.qtfs" || mount.source !== source) return false;
  const looker = Bun.spawn(["stat", "-t", target], {
    stdio: ["ignore", "ignore", "ignore"],
    timeout: 10_000,
    killSignal: "SIGKILL",
  });
  return (await looker.exited) === 0;
}

/** Over the program at `target` lies qtfs, which runs the program of that name on the other machine. */
export function route(qtfs: string, target: string): Step {
  const command = ["mount", "--bind", qtfs, target];
  return {
    name: `route ${target}`,
    commands: [shellLine(command)],
    isDone: () => mountAt(target) !== undefined,
    run: async () => {
      if (!existsSync(target) || !statSync(target).isFile()) {
        throw new Error(
          `${target} is missing: install its package here too, for it is replaced by qtfs`,
        );
      }
      checkPlace(target);
      await execute(command);
      return null;
    },
    undo: () => unmount(target, ["umount"]),
  };
}

/** qtfs itself at `target`, in a directory that is there: for who cannot see where it is. */
export function ownProgram(qtfs: string, target: string): Step {
  const command = ["mount", "--bind", qtfs, target];
  return {
    name: `program ${target}`,
    commands: [shellLine(["touch", target]), shellLine(command)],
    isDone: () => mountAt(target) !== undefined,
    run: async () => {
      closeSync(openSync(target, "a"));
      await execute(command);
      return null;
    },
    undo: async (note) => {
      await unmount(target, ["umount"]);
      if (note === null) rmSync(target, { force: true });
    },
  };
}
