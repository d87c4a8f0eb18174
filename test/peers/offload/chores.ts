/** What a management plane does all day beside starting containers, and how often in a minute. */
import { IMAGE } from "../../e2e/offload/stage.ts";

export interface Chore {
  readonly row: string;
  /** Done once; the container `chore` runs. */
  readonly command: string;
  /** How often it is done to be measured: the kernel counts in steps of 10 ms. */
  readonly times: number;
  /** How often a node's minute has it. */
  readonly perMinute: number;
}

/** A gzipped file of so many bytes is imported as an image: half of it does not compress. */
const LAYER_BYTES = 32 * 1024 * 1024;

/** Before the chores: the container, and the layer. */
export const PREPARE = `docker run -d --name chore --network none ${IMAGE} sleep 100000
  mkdir -p /tmp/layer && head -c ${LAYER_BYTES / 2} /dev/urandom >/tmp/layer/random
  head -c ${LAYER_BYTES / 2} /dev/zero >/tmp/layer/zeroes
  tar -C /tmp/layer -czf /tmp/layer.tar.gz random zeroes`;
export const CLEAN_UP = "docker rm -f chore; rm -rf /tmp/layer /tmp/layer.tar.gz";

export const CHORES: readonly Chore[] = [
  { row: "docker ps", command: "docker ps -a", times: 20, perMinute: 6 },
  { row: "docker inspect", command: "docker inspect chore", times: 20, perMinute: 6 },
  { row: "docker stats", command: "docker stats --no-stream chore", times: 3, perMinute: 6 },
  { row: "docker logs", command: "docker logs chore", times: 20, perMinute: 1 },
  { row: "docker exec", command: "docker exec chore true", times: 10, perMinute: 6 },
  {
    row: "docker import, 32 MiB gzipped",
    command: "docker rmi -f $(docker import /tmp/layer.tar.gz)",
    times: 2,
    perMinute: 0.1,
  },
  { row: "ten idle seconds", command: "sleep 10", times: 1, perMinute: 6 },
];
