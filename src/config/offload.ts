/**
 * The configuration of `qtfs offload`, the same file on both machines.
 *
 * ```toml
 * profile = "containerd"             # containerd or docker
 * server = "tcp://10.0.0.1:7000"     # where the HOST serves its files
 * rexec = "tcp://10.0.0.1:7001"      # and runs programs for the DPU
 * rexec_back = "tcp://10.0.0.2:7001" # and the DPU for the HOST: where that has no dockerd
 * insecure = true                    # allows tcp://
 * rootfs = "/another_rootfs"         # "/": the services are not put into a chroot
 * name = "containerd"                # where several offloads are on one machine
 * binds = ["/opt/tools"]             # of the DPU, in the rootfs too
 * shares = ["/data"]                 # of the HOST, at the same paths there
 * routes = ["/usr/bin/nvidia-smi"]   # programs of the rootfs that run on the HOST
 * abstract = ["@/shim/*"]            # abstract names of sockets that are the HOST's too
 *
 * [[service]]                        # beside the profile's, or instead of one of its
 * name = "containerd"
 * command = ["containerd", "--log-level", "debug"]
 * env = { GOMAXPROCS = "2" }
 * ready = "/run/containerd/containerd.sock"
 * ```
 */
import { isIP } from "node:net";
import { z } from "zod";
import { type Address, DEFAULT_REXEC, DEFAULT_SERVER } from "../transport/address.ts";
import { address, explain } from "./schema.ts";
import { readToml } from "./toml.ts";

export const PROFILES = ["containerd", "docker", "kubelet"] as const;
export type ProfileName = (typeof PROFILES)[number];

/** A program that runs in the rootfs, for as long as the offload is up. */
export interface ServiceConfig {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Unix socket in the rootfs that it listens at once it is of use. */
  readonly ready?: string;
}

/** Addresses of both machines, between which a manager's networks are stretched. */
export interface NetworksConfig {
  readonly host: string;
  readonly dpu: string;
}

export interface OffloadConfig {
  readonly profile: ProfileName;
  readonly name: string;
  readonly server: Address;
  readonly rexec: Address;
  readonly rexecBack?: Address;
  readonly networks?: NetworksConfig;
  readonly insecure: boolean;
  readonly rootfs: string;
  readonly binds: readonly string[];
  readonly shares: readonly string[];
  readonly routes: readonly string[];
  /** Patterns of abstract names of sockets that services find on the HOST. */
  readonly abstract: readonly string[];
  readonly services: readonly ServiceConfig[];
}

const LIST_MAX = 256;
const WORDS_MAX = 256;
const PATTERN_MAX = 107;

const path = z
  .string()
  .startsWith("/", "it must be an absolute path")
  .refine((text) => !text.split("/").some((part) => part === "." || part === ".."), {
    message: "it must not have . or .. in it",
  });
const paths = z.array(path).max(LIST_MAX).default([]);
const name = z.string().regex(/^[\w][\w.-]{0,63}$/, "it may have letters, digits, _, . and -");

const serviceTable = z.strictObject({
  name,
  command: z.array(z.string()).min(1).max(WORDS_MAX),
  env: z.record(z.string(), z.string()).optional(),
  ready: path.optional(),
});

const ip = z
  .string()
  .refine((text) => isIP(text) > 0, { message: "host and dpu must be IP addresses" });
const networksTable = z.strictObject({ host: ip, dpu: ip });

const schema = z.strictObject({
  profile: z.enum(PROFILES),
  name: name.optional(),
  server: address.default(DEFAULT_SERVER),
  rexec: address.default(DEFAULT_REXEC),
  rexec_back: address.optional(),
  insecure: z.boolean().default(false),
  rootfs: path.default("/another_rootfs"),
  binds: paths,
  shares: paths,
  routes: paths,
  abstract: z.array(z.string().min(1).max(PATTERN_MAX)).max(LIST_MAX).default([]),
  networks: networksTable.optional(),
  service: z.array(serviceTable).max(LIST_MAX).default([]),
});

/** Reads and checks a configuration; throws a sentence that names file, line and key. */
export function readOffloadConfig(file: string): OffloadConfig {
  const toml = readToml(file);
  const result = schema.safeParse(toml.value);
  if (!result.success) {
    throw new Error(explain(toml, result.error, schema, { service: serviceTable }));
  }
  const { rexec_back, networks, service, name: given, rootfs, ...rest } = result.data;
  const { server, rexec, insecure } = rest;
  const isOpen = [server, rexec, rexec_back].some((one) => one?.kind === "tcp");
  if (isOpen && !insecure) {
    throw new Error(
      `${file}: tcp:// is neither encrypted nor authenticated; insecure = true allows it`,
    );
  }
  if (rootfs === "/" && (rest.profile === "kubelet" || rest.shares.includes("/proc"))) {
    throw new Error(
      `${file}: the HOST's /proc would be in the place of this machine's own: name a rootfs`,
    );
  }
  if (networks !== undefined && (rest.profile !== "docker" || rexec_back === undefined)) {
    throw new Error(`${file}: networks are those of the profile docker, and need rexec_back`);
  }
  return {
    ...rest,
    name: given ?? rest.profile,
    ...(rexec_back && { rexecBack: rexec_back }),
    ...(networks && { networks }),
    rootfs: rootfs === "/" ? "" : rootfs.replace(/\/+$/, ""),
    services: service.map(({ env, ready, ...one }) => ({
      ...one,
      ...(env && { env }),
      ...(ready !== undefined && { ready }),
    })),
  };
}
