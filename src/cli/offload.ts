/** `qtfs offload` */
import { realpathSync } from "node:fs";
import { readOffloadConfig } from "../config/offload.ts";
import { down, up } from "../offload/carryout.ts";
import { limitsOf, planOf } from "../offload/plan.ts";
import { State } from "../offload/state.ts";
import type { Side } from "../offload/step.ts";
import { UsageError } from "./errors.ts";
import { program } from "./program.ts";

const DEFAULT_CONFIG = "/etc/qtfs/offload.toml";
const SIDES: readonly Side[] = ["host", "dpu"];

const CONFIG_SAMPLE = [
  'profile = "containerd"             # docker, or kubelet',
  'server = "tcp://10.0.0.1:7000"     # where the HOST serves its files',
  'rexec = "tcp://10.0.0.1:7001"      # and runs programs for the DPU',
  "insecure = true                    # allows tcp://, on a network that is trusted like root",
  'rootfs = "/another_rootfs"         # what the daemons see on the DPU; "/" for its own root',
  'binds = ["/opt/tools"]             # more of the DPU in there',
  'shares = ["/data"]                 # more of the HOST',
  'routes = ["/usr/bin/nvidia-smi"]   # more programs that run on the HOST',
  "",
  "[networks]                         # docker's own, too: VXLAN between these addresses",
  'host = "10.0.0.1"                  # (profile docker, with rexec_back)',
  'dpu = "10.0.0.2"',
  "",
  "[[service]]                        # instead of the profile's of that name, or beside them",
  'name = "containerd"',
  'command = ["containerd", "--log-level", "debug"]',
];

export const offload = program({
  name: "qtfs offload",
  description:
    "Runs a daemon that manages containers on the DPU, and its containers on the HOST. The same " +
    "file is for both machines: up on the HOST first. What stands is left alone, so up can be " +
    "repeated after any failure; what fails undoes all that up has done.",
  examples: [
    { command: "qtfs offload up --side host", does: "On the HOST, by /etc/qtfs/offload.toml." },
    { command: "qtfs offload plan", does: "What up would do on the DPU, as commands." },
    { command: "qtfs offload up", does: "Does it: containerd runs, its containers will be there." },
    { command: "chroot /another_rootfs ctr run …", does: "Runs one." },
    { command: "qtfs offload down", does: "Undoes all of it." },
  ],
  args: {
    what: {
      type: "positional",
      required: true,
      description: "plan, up, status or down.",
    },
    config: {
      type: "string",
      valueHint: "FILE",
      description: `TOML, see below. Default: ${DEFAULT_CONFIG}`,
    },
    side: {
      type: "string",
      valueHint: "host|dpu",
      description: "Which of the two machines this is. Default: dpu",
    },
  },
  sections: [{ title: "FILE", lines: CONFIG_SAMPLE }],
  run: async ({ what, config: file = DEFAULT_CONFIG, side = "dpu" }) => {
    if (!SIDES.includes(side as Side)) throw new UsageError("--side takes host or dpu");
    const action = Object.hasOwn(ACTIONS, what) ? ACTIONS[what] : undefined;
    if (action === undefined) {
      throw new UsageError(`"${what}" is none of ${Object.keys(ACTIONS).join(", ")}`);
    }
    return await action(readOffloadConfig(file), side as Side);
  },
});

type Action = (config: ReturnType<typeof readOffloadConfig>, side: Side) => Promise<number>;

const qtfs = () => realpathSync(process.execPath);
const tell = (line: string) => {
  process.stderr.write(`${line}\n`);
};

const ACTIONS: Readonly<Record<string, Action>> = {
  plan: async (config, side) => {
    for (const step of planOf(config, side, qtfs())) {
      const mark = (await step.isDone()) ? "  # stands" : "";
      for (const line of step.commands) process.stdout.write(`${line}${mark}\n`);
    }
    for (const limit of limitsOf(config)) process.stdout.write(`# Limit: ${limit}\n`);
    return 0;
  },
  up: async (config, side) => {
    await up(planOf(config, side, qtfs()), State.of(config, side), tell);
    return 0;
  },
  status: async (config, side) => {
    let missing = 0;
    for (const step of planOf(config, side, qtfs())) {
      const stands = await step.isDone();
      if (!stands) missing++;
      if (step.commands.length > 0) {
        process.stdout.write(`${stands ? "stands " : "missing"}  ${step.name}\n`);
      }
    }
    return missing === 0 ? 0 : 1;
  },
  down: async (config, side) => {
    const state = State.of(config, side);
    await down(planOf(state.config, side, qtfs()), state, tell);
    return 0;
  },
};
