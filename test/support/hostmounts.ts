/** Mounts that a test makes on this machine, which is the HOST; none is left behind. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { decodeMultiple } from "cbor-x/decode";
import { PathBuffer } from "../../src/sys/cstring.ts";
import {
  MNT_DETACH,
  MS_BIND,
  MS_PRIVATE,
  mount as mountCall,
  UMOUNT_NOFOLLOW,
  umount2,
} from "../../src/sys/mount.ts";
import { plain, type RawClient } from "./client.ts";

const paths = new PathBuffer(4);

/** mount(2): 0 or -errno. */
export function mount(type: string, target: string, flags = 0, source = "test", data = ""): number {
  const [from, to] = [paths.put(0, source), paths.put(1, target)];
  return mountCall(from, to, paths.put(2, type), flags, paths.put(3, data));
}

export function bind(from: string, target: string): number {
  return mount("none", target, MS_BIND, from);
}

export function umount(target: string, flags = 0): number {
  return umount2(paths.put(0, target), flags);
}

/** Mounts a tmpfs whose mounts nobody else sees. */
export function mountPrivate(target: string): void {
  if (mount("tmpfs", target) !== 0) throw new Error(`Cannot mount at ${target}`);
  mount("none", target, MS_PRIVATE);
}

/** Takes away all that is mounted at `top` and below. */
export function umountBelow(top: string): void {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const below = lines
    .map((line) => (line.split(" ")[4] ?? "").replace(/\\(\d{3})/g, octal))
    .filter((path) => path === top || path.startsWith(`${top}/`));
  for (const path of below.reverse()) umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

function octal(_: string, digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 8));
}

/** Runs a program that must succeed; what it printed. */
export function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

/** A mount as MOUNTS tells of it. */
export interface Listed {
  mount: number;
  parent: number;
  flags: number;
  rootType: number;
  device: number;
  path: string;
  type: string;
  source: string;
}

/** All that MOUNTS tells `client`, and of which generation it is. */
export function listMounts(client: RawClient): { mounts: Listed[]; generation: number } {
  const mounts: Listed[] = [];
  let generation = 0;
  for (let start = 0; ; ) {
    const { errno, results, payload } = client.call("MOUNTS", [start]);
    if (errno !== 0) throw new Error(`MOUNTS: errno ${errno}`);
    const decoded = payload.length === 0 ? [] : (plain(decodeMultiple(payload)) as unknown[][]);
    for (const [mount, parent, flags, rootType, device, ...texts] of decoded as number[][]) {
      const [path, type, source] = texts.map(String) as [string, string, string];
      mounts.push({ mount, parent, flags, rootType, device, path, type, source } as Listed);
    }
    [generation, start] = results as [number, number];
    if (start === 0) return { mounts, generation };
  }
}
