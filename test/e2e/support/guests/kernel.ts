/**
 * Debian's kernel for guests: downloaded by apt, unpacked, never installed. It is kept in
 * /var/cache for the next test, one directory for each version.
 */
import { globSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { run, sh } from "../run.ts";

const CACHE = "/var/cache/qtfs-kernels";
const DOWNLOAD_MS = 300_000;
/** Where the modules are that guests may want: all of them are 300 MB. */
const FOLDERS = ["fs/fuse", "net/vmw_vsock", "drivers/vfio", "virt/lib"];

export interface Kernel {
  /** What QEMU boots. */
  image: string;
  /** Its modules by name, with those that each needs before it: files, in the order to load them. */
  modules(...names: string[]): string[];
}

/** The kernel of `architecture` as Debian has it now. */
export async function fetchKernel(architecture: "amd64" | "arm64" = "amd64"): Promise<Kernel> {
  const name = await packageName(architecture);
  const directory = `${CACHE}/${name}`;
  if (globSync(`${directory}/boot/vmlinuz-*`).length === 0) await download(name, directory);
  const [image = ""] = globSync(`${directory}/boot/vmlinuz-*`);
  const files = globSync(`${directory}/lib/modules/*/kernel/**/*.ko`);
  const byName = new Map(files.map((file) => [moduleName(basename(file, ".ko")), file]));
  return { image, modules: (...names) => withNeeded(names, byName) };
}

/** The package that the meta package stands for; apt's lists are fetched where they lack it. */
async function packageName(architecture: string): Promise<string> {
  const ask = async () => {
    const { stdout } = await run([
      "apt-cache",
      "depends",
      `linux-image-${architecture}:${architecture}`,
    ]);
    return /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  };
  let name = await ask();
  if (name === undefined) {
    await sh("apt-get -q -o Acquire::Retries=3 update", { timeoutMs: DOWNLOAD_MS });
    name = await ask();
  }
  if (name === undefined) throw new Error(`apt knows no kernel for ${architecture}`);
  return name;
}

async function download(name: string, directory: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true, mode: 0o755 });
  const fresh = `${directory}.${process.pid}`;
  const modules = FOLDERS.map((folder) => `'./lib/modules/*/kernel/${folder}/*'`).join(" ");
  await sh(
    `mkdir -p ${fresh} && cd ${fresh}
    apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download ${name}
    dpkg-deb --fsys-tarfile *.deb | tar -x --wildcards './boot/*' ${modules}
    rm *.deb`,
    { timeoutMs: DOWNLOAD_MS },
  );
  rmSync(directory, { recursive: true, force: true });
  renameSync(fresh, directory);
}

/** The kernel holds - and _ in names of modules for the same. */
function moduleName(text: string): string {
  return text.replaceAll("-", "_");
}

/** What the module in `file` says that it needs (.modinfo). */
function neededBy(file: string): string[] {
  const [, list = ""] = /\0depends=([^\0]*)\0/.exec(readFileSync(file, "latin1")) ?? [];
  return list === "" ? [] : list.split(",");
}

/** The files of `names`, each behind those that it needs; what is built in needs no file. */
function withNeeded(names: readonly string[], byName: ReadonlyMap<string, string>): string[] {
  const files = new Set<string>();
  const add = (name: string) => {
    const file = byName.get(moduleName(name));
    if (file === undefined || files.has(file)) return;
    for (const needed of neededBy(file)) add(needed);
    files.add(file);
  };
  for (const name of names) add(name);
  return [...files];
}
