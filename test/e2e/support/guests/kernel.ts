/** Debian's kernel for guests, and its modules. */
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { type Architecture, aptCache, unpacked } from "./debian.ts";

/** Modules that guests may want, all of which are 300 MB: those that both have, and others. */
const COMMON = [
  ...["fs/fuse/*", "net/vmw_vsock/*", "drivers/vfio/*"],
  ...["fs/ext4/*", "fs/jbd2/*", "fs/mbcache.ko", "lib/crc16.ko", "crypto/crc32c_generic.ko"],
  "drivers/block/loop.ko",
];
/** Those of guests that have this machine's files, and of containers in them. */
const WHOLE = [
  ...["drivers/virtio/*", "net/9p/*", "fs/9p/*", "fs/netfs/*", "fs/fscache/*", "fs/overlayfs/*"],
  ...["drivers/net/virtio_net.ko", "drivers/net/net_failover.ko", "net/core/failover.ko"],
  ...["drivers/net/veth.ko", "drivers/net/vxlan/*", "net/ipv4/udp_tunnel.ko"],
  ...["net/ipv6/ip6_udp_tunnel.ko", "net/802/*", "net/llc/*", "net/bridge/*"],
  ...["net/netfilter/*", "net/ipv4/netfilter/*", "net/ipv6/netfilter/*"],
  "lib/libcrc32c.ko",
];
const MODULES: Readonly<Record<Architecture, readonly string[]>> = {
  amd64: [...COMMON, "virt/lib/*", ...WHOLE],
  arm64: COMMON,
};

export interface Kernel {
  /** What QEMU boots. */
  image: string;
  /** Its modules by name, with those that each needs before it: files, in the order to load them. */
  modules(...names: string[]): string[];
}

/** The kernel of `architecture` as Debian has it now. */
export async function fetchKernel(architecture: Architecture = "amd64"): Promise<Kernel> {
  const name = await kernelPackage(architecture);
  const wanted = MODULES[architecture];
  const patterns = ["boot/*", ...wanted.map((files) => `lib/modules/*/kernel/${files}`)];
  const directory = await unpacked(architecture, name, patterns);
  const [image = ""] = globSync(`${directory}/boot/vmlinuz-*`);
  const files = globSync(`${directory}/lib/modules/*/kernel/**/*.ko`);
  const byName = new Map(files.map((file) => [moduleName(basename(file, ".ko")), file]));
  return { image, modules: (...names) => withNeeded(names, byName) };
}

/** The package that the meta package stands for. */
async function kernelPackage(architecture: Architecture): Promise<string> {
  const text = await aptCache(architecture, "depends", `linux-image-${architecture}`);
  const name = /Depends: (linux-image-\S+)/.exec(text)?.[1];
  if (name === undefined) throw new Error(`apt knows no kernel for ${architecture}`);
  return name;
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
