/** dockerd and its containerd: dockerd mounts containers' roots itself, so it runs supervised. */
import { CONTAINERD } from "./containerd.ts";
import type { Profile } from "./profile.ts";

/** FIFOs, network namespaces, and the sockets that its hook connects to. */
const STATE = ["/run/docker/containerd", "/run/docker/netns", "/run/docker/libnetwork"] as const;

const NETWORKLESS = ["--iptables=false", "--ip6tables=false", "--bridge=none"] as const;
const LIBRARY = "/var/lib/docker";

export const DOCKER = {
  ...CONTAINERD,
  shares: [...CONTAINERD.shares, LIBRARY, ...STATE],
  kept: [`${LIBRARY}/network`, `${LIBRARY}/buildkit`],
  // docker top.
  routes: [...CONTAINERD.routes, "/usr/bin/ps"],
  allow: [...CONTAINERD.allow, "/usr/bin/ps"],
  volatile: [...CONTAINERD.volatile, ...STATE],
  hooks: true,
  networkless: NETWORKLESS,
  networkLimits: {
    without: [
      "Networks: none, which is the default, and host (docker run --network). -p and networks that are made by docker have no effect for a container. [networks] in the configuration changes that.",
    ],
    within: [
      "Networks: a running container is not connected to another (docker network connect: before its start), on networks of docker network create no names are resolved, and dockerd 28 and later have no hook for them.",
    ],
  },
  limits: [
    "Paths in docker run -v are the HOST's.",
    "BuildKit runs its commands by the DPU's runc: DOCKER_BUILDKIT=0 builds on the HOST.",
    ...CONTAINERD.limits,
  ],
  traces: {
    ...CONTAINERD.traces,
    trees: [...CONTAINERD.traces.trees, LIBRARY, ...STATE],
    runtimes: [...CONTAINERD.traces.runtimes, "/run/docker/runtime-runc"],
  },
  services: [
    ...CONTAINERD.services,
    {
      name: "dockerd",
      command: [...["dockerd", "--containerd", "/run/containerd/containerd.sock"], ...NETWORKLESS],
      ready: "/run/docker.sock",
    },
  ],
} as const satisfies Profile;
