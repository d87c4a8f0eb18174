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

const HOOK = "libnetwork-setkey";
/** What is run for it. */
const PROGRAM = "/usr/sbin/dockerd";

/** The directory of an offload's own programs, the same on both machines. */
export const programsOf = ({ name }: OffloadConfig) => `/run/qtfs/offload/${name}.bin`;

/** The HOST's part. */
export function hostHooks(config: OffloadConfig, qtfs: string): Step[] {
  const programs = programsOf(config);
  const { rexecBack } = config;
  return [
    directory(programs),
    link(`${programs}/${HOOK}`, rexecBack === undefined ? PROGRAM : qtfs),
    script(`${programs}/runc`, runcOf(programs, rexecBack)),
  ];
}

function runcOf(programs: string, back: Address | undefined): string {
  const address = back === undefined ? "" : ` CMD_NET_ADDR=${formatAddress(back)}`;
  const from = `"path":"/proc/[0-9]*/exe","args":["${HOOK}"`;
  const to = `"path":"${programs}/${HOOK}","args":["${HOOK}"`;
  const expression = `s#${from.replaceAll("[", "\\[").replace("\\[0-9]", "[0-9]")}#${to}#`;
  return `#!/bin/sh
# Made by qtfs offload: ${HOOK} is not that of a process of the HOST.
PATH=${PATH}
runc=$(command -v runc)
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
  const { rootfs: root, rexecBack, insecure } = config;
  if (rexecBack === undefined) return [];
  const programs = programsOf(config);
  const own = `${programs}/qtfs`;
  return [
    directory(`${root}${programs}`),
    link(`${root}${programs}/${HOOK}`, PROGRAM),
    ownProgram(qtfs, `${root}${own}`),
    service({
      name: "rexec-server",
      command: [
        ...[own, "rexec-server", "--listen", formatAddress(rexecBack), "--allow", PROGRAM],
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
