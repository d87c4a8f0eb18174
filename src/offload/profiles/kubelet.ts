/**
 * kubelet and its containerd: pods' control groups, what there is of processors and memory, and
 * what is mounted for pods' volumes are the HOST's. kubelet talks to its API server from the DPU.
 */
import { CONTAINERD, CONTAINERD_SOCKET } from "./containerd.ts";
import type { Profile } from "./profile.ts";

const LIBRARY = "/var/lib/kubelet";
const PODS = `${LIBRARY}/pods`;

/** What iptables and its like are links to: rules for pods are rules of the HOST's network. */
const FILTERS = ["/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi"];

export const KUBELET = {
  ...CONTAINERD,
  shares: [...CONTAINERD.shares, "/proc", "/sys", PODS],
  volatile: [...CONTAINERD.volatile, PODS],
  // kubelet makes it so itself, by a bind that would not see what the HOST mounts for pods.
  shared: [LIBRARY],
  optionalRoutes: [...CONTAINERD.optionalRoutes, ...FILTERS],
  allow: [...CONTAINERD.allow, ...FILTERS],
  traces: { ...CONTAINERD.traces, trees: [...CONTAINERD.traces.trees, PODS] },
  services: [
    ...CONTAINERD.services,
    {
      name: "kubelet",
      command: [
        "kubelet",
        ...["--config", `${LIBRARY}/config.yaml`, "--kubeconfig", "/etc/kubernetes/kubelet.conf"],
        ...["--container-runtime-endpoint", `unix://${CONTAINERD_SOCKET}`],
      ],
    },
  ],
  limits: [
    "kubelet is in no package of Debian's: it has to be in the DPU's /usr/bin, or named by [[service]].",
    "Paths of hostPath volumes are the HOST's; kubelet sees those alone that are shared, too.",
    ...CONTAINERD.limits,
  ],
} as const satisfies Profile;
