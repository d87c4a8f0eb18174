/** The steps of an offload, in their order, for one of the two machines. */
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { OffloadConfig, ServiceConfig } from "../config/offload.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { dpuHooks, hostHooks, programsOf } from "./hooks.ts";
import { type Profile, profiles } from "./profiles/profile.ts";
import { rootfs } from "./rootfs.ts";
import { PATH, type Side, type Step } from "./step.ts";
import { containers } from "./steps/containers.ts";
import { directory } from "./steps/directory.ts";
import { bind, mountpoint, networksRoom, route, share } from "./steps/mounts.ts";
import { service } from "./steps/service.ts";

const PROC = "/proc";

/** Where the logs of an offload's services are. */
export const logOf = (config: OffloadConfig, name: string) =>
  `/var/log/qtfs/offload-${config.name}-${name}.log`;

/** All steps of `side`; `qtfs` is the path of this executable. */
export function planOf(config: OffloadConfig, side: Side, qtfs: string): Step[] {
  const profile = profiles[config.profile];
  return side === "host" ? hostPlan(config, profile, qtfs) : dpuPlan(config, profile, qtfs);
}

const unique = (list: readonly string[]) => [...new Set(list)];
const sharesOf = (config: OffloadConfig, { shares }: Profile) =>
  unique([...shares, ...config.shares]);
const routesOf = (config: OffloadConfig, { routes, optionalRoutes }: Profile) =>
  unique([...routes, ...optionalRoutes.filter(existsSync), ...config.routes]);

function hostPlan(config: OffloadConfig, profile: Profile, qtfs: string): Step[] {
  const shares = sharesOf(config, profile);
  const insecure = config.insecure ? ["--insecure"] : [];
  const exports = shares.flatMap((path) => ["--export", `${path}:${classesOf(config, path)}`]);
  const allow = unique([...profile.allow, ...config.routes]);
  const sessions = `/run/qtfs/offload/${config.name}.sessions`;
  const daemon = (name: string, subcommand: string, address: Address, words: string[]) =>
    service({
      name,
      command: [qtfs, subcommand, "--listen", formatAddress(address), ...insecure, ...words],
      env: { PATH },
      root: "",
      log: logOf(config, name),
      ready: address,
      signal: "SIGINT",
    });
  return [
    ...shares.map((path) => directory(path, { volatile: isVolatile(profile, path) })),
    networksRoom(dirname(profile.traces.networks)),
    ...profile.traces.runtimes.map((path) => directory(path, { volatile: true })),
    ...(profile.hooks ? hostHooks(config, qtfs) : []),
    containers(profile.traces),
    directory(sessions, { mode: 0o700, volatile: true }),
    // All these mounts are one client's: more threads would each wake up and compile for a few of them.
    daemon("server", "server", config.server, [
      ...["--threads", "1", "--state-dir", sessions],
      ...exports,
    ]),
    daemon(
      "rexec-server",
      "rexec-server",
      config.rexec,
      allow.flatMap((path) => ["--allow", path]),
    ),
  ];
}

/** What is allowed on an export: whoever sees the HOST's processes may also signal them. */
function classesOf({ abstract }: OffloadConfig, path: string): string {
  const ofProcesses = path === PROC ? ",process" : "";
  return `rw,sysmount${ofProcesses}${abstract.length > 0 ? ",names" : ""}`;
}

const isVolatile = ({ volatile }: Profile, path: string) => volatile.includes(path);

function dpuPlan(config: OffloadConfig, profile: Profile, qtfs: string): Step[] {
  const { rootfs: root } = config;
  const shares = sharesOf(config, profile);
  const options = `server=${formatAddress(config.server)}${config.insecure ? ",insecure" : ""}`;
  return once([
    ...rootfs(config, shares),
    ...profile.shared.flatMap((path) => [
      directory(`${root}${path}`),
      mountpoint(`${root}${path}`, "shared"),
    ]),
    ...shares.flatMap((path) => [
      directory(`${root}${path}`),
      share(qtfs, path, `${root}${path}`, path === PROC ? `${options},proc` : options),
    ]),
    ...profile.kept.flatMap((path) => kept(config, path)),
    ...routesOf(config, profile).map((path) => route(qtfs, `${root}${path}`)),
    ...(profile.hooks ? dpuHooks(config, qtfs, { PATH }) : []),
    ...servicesOf(config, profile).map((one) => dpuService(config, one, qtfs)),
  ]);
}

/** Without those that are there a second time: what is shared may have a place in the root already. */
function once(steps: readonly Step[]): Step[] {
  return steps.filter(({ name }, at) => steps.findIndex((step) => step.name === name) === at);
}

/** A directory of the DPU's in place of one of the HOST's. */
function kept({ name, rootfs: root }: OffloadConfig, path: string): Step[] {
  const own = `/var/lib/qtfs/${name}${path}`;
  return [directory(own), directory(`${root}${path}`), bind(own, `${root}${path}`)];
}

/** What will not work, for people to know before they meet it: sentences. */
export function limitsOf({ profile, networks }: OffloadConfig): readonly string[] {
  const { limits, networkLimits } = profiles[profile];
  return [...(networks === undefined ? networkLimits.without : networkLimits.within), ...limits];
}

/** The profile's services, those of the configuration in place of theirs by the same name, then its others. */
function servicesOf(config: OffloadConfig, profile: Profile): ServiceConfig[] {
  const { services, networkless } = profile;
  const isFit = (word: string) => config.networks === undefined || !networkless.includes(word);
  const given = new Map(config.services.map((one) => [one.name, one]));
  const own = services.map((one) => ({
    ...one,
    command: one.command.filter(isFit),
    ...given.get(one.name),
  }));
  const names = services.map(({ name }) => name);
  return [...own, ...config.services.filter(({ name }) => !names.includes(name))];
}

function dpuService(config: OffloadConfig, one: ServiceConfig, qtfs: string): Step {
  const { abstract, rootfs: root } = config;
  const { name, command, env, ready } = one;
  const names = abstract.length > 0 ? [`--abstract=${abstract.join(",")}`] : [];
  return service({
    name,
    command,
    launcher: [qtfs, "supervise", ...names, "--"],
    env: {
      PATH: `${programsOf(config)}:${PATH}`,
      HOME: "/root",
      CMD_NET_ADDR: formatAddress(config.rexec),
      ...env,
    },
    root,
    log: logOf(config, basename(name)),
    ready: ready === undefined ? undefined : { kind: "unix", path: `${root}${ready}` },
  });
}
