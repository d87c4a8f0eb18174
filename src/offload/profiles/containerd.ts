/**
 * containerd with its overlayfs snapshotter, ctr and CRI: shims mount the containers' roots, on
 * the HOST; containerd itself mounts only for a moment, what may as well be here. Its databases
 * and images stay on the DPU's disk.
 */
import type { Profile } from "./profile.ts";

export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
const LIBRARY = "/var/lib/containerd";
const NETWORKS = "/run/netns";

/** Debian's containernetworking-plugins, but for the daemon dhcp. */
const PLUGINS = [
  ...["bandwidth", "bridge", "firewall", "host-device", "host-local", "ipvlan", "loopback"],
  ...["macvlan", "portmap", "ptp", "sbr", "static", "tuning", "vlan", "vrf"],
].map((name) => `/usr/lib/cni/${name}`);

const OWN = [
  // State, FIFOs, the shims' sockets and containerd's own.
  "/run/containerd",
  `${LIBRARY}/io.containerd.runtime.v2.task`,
  `${LIBRARY}/io.containerd.snapshotter.v1.overlayfs/snapshots`,
  `${LIBRARY}/io.containerd.grpc.v1.cri`,
] as const;

export const CONTAINERD = {
  shares: [
    ...OWN,
    // Networks of CRI's pods.
    NETWORKS,
  ],
  volatile: ["/run/containerd", `${LIBRARY}/io.containerd.runtime.v2.task`],
  kept: [],
  shared: [],
  routes: ["/usr/bin/containerd-shim-runc-v2"],
  // modprobe among others: modules are the HOST's kernel's. CNI's plugins: so are networks.
  optionalRoutes: ["/usr/bin/kmod", ...PLUGINS],
  allow: ["/usr/bin/containerd-shim-*", "/usr/bin/kmod", ...PLUGINS],
  services: [{ name: "containerd", command: ["containerd"], ready: CONTAINERD_SOCKET }],
  hooks: false,
  networkless: [],
  networkLimits: { without: [], within: [] },
  limits: [
    "ctr runs in the rootfs alone: its FIFOs and mounts have to be where containerd's are.",
    "CRI forwards no ports (kubectl port-forward): containerd looks for a pod's network on the DPU.",
    "A kill of qtfs-bridge on the HOST, or of qtfs-twins on the DPU, ends running containers.",
  ],
  traces: {
    managers: [CONTAINERD_SOCKET],
    runtimes: ["/run/containerd/runc"],
    networks: `${NETWORKS}/cni-`,
    trees: OWN,
  },
} as const satisfies Profile;
