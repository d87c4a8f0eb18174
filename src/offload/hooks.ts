/**
 * Hooks of dockerd before version 28: runc starts `/proc/<dockerd's pid>/exe libnetwork-setkey` on
 * the HOST, where that process is not. A runc of our own, first in the shims' PATH, names another
 * program in its place: the HOST's dockerd, which by that name does nothing but tell a socket in
 * /run/docker/libnetwork; or, with `rexec_back`, qtfs, which runs the DPU's.
 */
import type { OffloadConfig } from "../config/offload.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { PATH, type Step } from "./step.ts";
import { directory, link, script } from "./steps/directory.ts";
import { ownProgram } from "./steps/mounts.ts";
import { service } from "./steps/service.ts";
import { dpuStretch, hostStretch } from "./stretch.ts";

const HOOK = "libnetwork-setkey";
const STRETCH = "stretch";
/** What is run for it. */
const PROGRAM = "/usr/sbin/dockerd";

/** The directory of an offload's own programs, the same on both machines. */
export const programsOf = ({ name }: OffloadConfig) => `/run/qtfs/offload/${name}.bin`;

/** The HOST's part. */
export function hostHooks(config: OffloadConfig, qtfs: string): Step[] {
  const programs = programsOf(config);
  const { rexecBack, networks } = config;
  const own = `${programs}/${HOOK}`;
  const steps = [directory(programs), link(own, rexecBack === undefined ? PROGRAM : qtfs)];
  if (networks === undefined || rexecBack === undefined) {
    return [...steps, script(`${programs}/runc`, runcOf(programs, own, rexecBack))];
  }
  const hook = `${programs}/hook`;
  return [
    ...steps,
    script(hook, hostStretch(networks, own, `${programs}/${STRETCH}`, qtfs, rexecBack)),
    script(`${programs}/runc`, runcOf(programs, hook, rexecBack)),
  ];
}

/** `hook`: what is run in place of dockerd's. */
function runcOf(programs: string, hook: string, back: Address | undefined): string {
  const address = back === undefined ? "" : ` CMD_NET_ADDR=${formatAddress(back)}`;
  const from = `"path":"/proc/[0-9]*/exe","args":["${HOOK}"`;
  const to = `"path":"${hook}","args":["${HOOK}"`;
  const expression = `s#${from.replaceAll("[", "\\[").replace("\\[0-9]", "[0-9]")}#${to}#`;
  return `#!/bin/sh
# Made by qtfs offload: ${HOOK} is not that of a process of the HOST.
PATH=${PATH} IFS=:
for runc in $PATH; do
  runc=$runc/runc
  [ -x "$runc" ] && break
done
unset IFS
export PATH=${programs}:$PATH${address}
bundle=. words="$*"
case " $words " in
*" create "* | *" run "*)
  case " $words " in *" --bundle "*)
    bundle=\${words#*--bundle } bundle=\${bundle%% *}
    ;;
  esac
  sed -i '${expression}' "$bundle/config.json"
  ;;
esac
exec "$runc" "$@"
`;
}

/** The DPU's part: with `rexec_back`, a rexec-server that runs dockerd and nothing else. */
export function dpuHooks(config: OffloadConfig, qtfs: string, env: Record<string, string>): Step[] {
  const { rootfs: root, rexecBack, networks, insecure } = config;
  if (rexecBack === undefined) return [];
  const programs = programsOf(config);
  const own = `${programs}/qtfs`;
  const stretch = `${programs}/${STRETCH}`;
  const allowed = [PROGRAM, ...(networks === undefined ? [] : [stretch])];
  return [
    directory(`${root}${programs}`),
    link(`${root}${programs}/${HOOK}`, PROGRAM),
    ...(networks === undefined ? [] : [script(`${root}${stretch}`, dpuStretch(networks))]),
    ownProgram(qtfs, `${root}${own}`),
    service({
      name: "rexec-server",
      command: [
        ...[own, "rexec-server", "--listen", formatAddress(rexecBack)],
        ...allowed.flatMap((path) => ["--allow", path]),
        ...(insecure ? ["--insecure"] : []),
      ],
      env,
      root,
      log: `/var/log/qtfs/offload-${config.name}-rexec-back.log`,
      ready:
        rexecBack.kind === "unix" ? { kind: "unix", path: `${root}${rexecBack.path}` } : rexecBack,
      signal: "SIGINT",
    }),
  ];
}
