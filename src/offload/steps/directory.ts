/** Directories, files and symbolic links that are made where they are missing. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { type Note, type Step, shellLine } from "../step.ts";

export interface DirectoryOptions {
  /** Permissions of what is made; 0755 by default. */
  mode?: number;
  /** What is in it is nothing without the offload: it goes with the directory. */
  volatile?: boolean;
}

/** A directory, with those above it; undone, the ones that were made go, where they are empty. */
export function directory(path: string, options: DirectoryOptions = {}): Step {
  const { mode = 0o755, volatile = false } = options;
  return {
    name: `directory ${path}`,
    commands: [shellLine(["mkdir", "-p", "-m", mode.toString(8), path])],
    isDone: () => existsSync(path) && statSync(path).isDirectory(),
    // The first that had to be made.
    run: () => mkdirSync(path, { recursive: true, mode }) ?? path,
    undo: (first) => removeDirectory(path, first, volatile),
  };
}

function removeDirectory(path: string, first: Note | undefined, volatile: boolean): void {
  if (typeof first !== "string") return;
  if (volatile) rmSync(path, { recursive: true, force: true });
  for (let at = path; at.startsWith(first); at = dirname(at)) {
    try {
      rmdirSync(at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") return;
    }
  }
}

/** A symbolic link at `path`. */
export function link(path: string, target: string): Step {
  return {
    name: `link ${path}`,
    commands: [shellLine(["ln", "-s", target, path])],
    isDone: () => lstatSync(path, { throwIfNoEntry: false }) !== undefined,
    run: () => {
      symlinkSync(target, path);
      return null;
    },
    undo: (note) => {
      const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
      if (note === null && isLink) unlinkSync(path);
    },
  };
}

/** A script at `path` that everybody may run, with this very text. */
export function script(path: string, text: string): Step {
  return {
    name: `script ${path}`,
    commands: [`cat >${path} <<'END'\n${text}END`, shellLine(["chmod", "755", path])],
    isDone: () => existsSync(path) && readFileSync(path, "utf8") === text,
    run: () => {
      writeFileSync(path, text, { mode: 0o755 });
      return null;
    },
    undo: (note) => {
      if (note === null) rmSync(path, { force: true });
    },
  };
}
