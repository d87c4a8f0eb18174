/** What is to be shared, routed and started for a daemon to manage the HOST's containers. */
import type { ProfileName, ServiceConfig } from "../../config/offload.ts";
import type { Traces } from "../steps/containers.ts";
import { CONTAINERD } from "./containerd.ts";
import { DOCKER } from "./docker.ts";
import { KUBELET } from "./kubelet.ts";

export interface Profile {
  /** Directories of the HOST, at the same paths in the rootfs. */
  readonly shares: readonly string[];
  /** Those of `shares` that hold nothing that outlives the daemons' containers. */
  readonly volatile: readonly string[];
  /** Directories in `shares` that stay on the DPU's disk all the same: databases. */
  readonly kept: readonly string[];
  /** Directories of the DPU that shall pass on to others what is mounted in them (MS_SHARED). */
  readonly shared: readonly string[];
  /** Programs of the rootfs that run on the HOST. */
  readonly routes: readonly string[];
  /** The same, where the DPU has them. */
  readonly optionalRoutes: readonly string[];
  /** What the DPU may run on the HOST (`qtfs rexec-server --allow`). */
  readonly allow: readonly string[];
  readonly services: readonly ServiceConfig[];
  /** Whether it has hooks that must run on the DPU (back.ts). */
  readonly hooks: boolean;
  /** What will not work, for people to know before they meet it: sentences. */
  readonly limits: readonly string[];
  /** Words of services' commands that forgo networks, for where they are not stretched. */
  readonly networkless: readonly string[];
  /** The same as `limits`, of networks: where they are not stretched, and where they are. */
  readonly networkLimits: {
    readonly without: readonly string[];
    readonly within: readonly string[];
  };
  /** How its containers are known on the HOST. */
  readonly traces: Traces;
}

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  containerd: CONTAINERD,
  docker: DOCKER,
  kubelet: KUBELET,
};
