/**
 * Networks of dockerd's for containers on the HOST. dockerd makes bridges, addresses and rules on
 * the DPU, and for each container a network namespace there, in which nobody is. Each of its
 * interfaces is stretched to the container's own namespace on the HOST, with its address and routes:
 * VXLAN (RFC 7348) between both machines, a bridge in the DPU's namespace between that and dockerd's
 * end. So what a container sends comes out where dockerd has its rules. Both go with their namespaces.
 */
import { basename, dirname } from "node:path";
import type { NetworksConfig } from "../config/offload.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import { PATH } from "./step.ts";

/** Where dockerd has namespaces, by the first 12 characters of their ids. */
const NAMESPACES = "/run/docker/netns";
/** What IANA has for VXLAN. */
const PORT = 4789;
/** Interfaces of a container; a number of 24 bits has room for them and a process's number of 22. */
const INTERFACES_MAX = 4;

/** `stretch ID NUMBER`, on the DPU: stretches a namespace's interfaces, and prints what they are. */
export function dpuStretch({ host, dpu }: NetworksConfig): string {
  return `#!/bin/bash
# Made by qtfs offload: interfaces of the namespace $1 go on to the HOST, by VXLAN from number $2 on.
set -euo pipefail
PATH=${PATH}
netns=${NAMESPACES}/$1
vni=$2
inside() { nsenter --net="$netns" "$@"; }
for name in $(inside ip -o link show type veth | sed -E 's/^[0-9]+: ([^:@ ]+).*/\\1/'); do
  [ "$vni" -lt $(($2 + ${INTERFACES_MAX})) ] || { echo "more than ${INTERFACES_MAX} interfaces" >&2; exit 1; }
  link=$(inside ip -o link show dev "$name")
  mtu=$(sed -E 's/.* mtu ([0-9]+) .*/\\1/' <<<"$link")
  echo "link $name $(sed -E 's/.*link\\/ether ([0-9a-f:]+).*/\\1/' <<<"$link") $mtu $vni"
  inside ip -o address show dev "$name" scope global |
    sed -nE "s/.* inet6? ([^ ]+) .*/address $name \\1/p"
  for family in -4 -6; do
    inside ip $family route show dev "$name" | grep -v -e 'proto kernel' -e '^fe80' |
      sed -E "s/^/route $name $family /" || true
  done
  ip link delete "qtfs$vni" 2>/dev/null || true
  ip link add "qtfs$vni" type vxlan id "$vni" local ${dpu} remote ${host} dstport ${PORT}
  ip link set "qtfs$vni" mtu "$mtu"
  ip link set "qtfs$vni" netns "$netns"
  inside ip link set "$name" down
  inside ip address flush dev "$name"
  # The container's address is at the other end now.
  inside ip link set "$name" address "$(printf '02:71:%02x:%02x:%02x:01' $((vni >> 16 & 255)) $((vni >> 8 & 255)) $((vni & 255)))"
  inside ip link add "bridge$vni" type bridge
  for port in "$name" "qtfs$vni"; do inside ip link set "$port" master "bridge$vni" up; done
  inside ip link set "bridge$vni" up
  vni=$((vni + 1))
done
`;
}

/** In place of dockerd's hook, on the HOST: runs it, then gives the container what is stretched. */
export function hostStretch(
  { host, dpu }: NetworksConfig,
  hook: string,
  stretch: string,
  qtfs: string,
  back: Address,
): string {
  return `#!/bin/bash
# Made by qtfs offload: dockerd's hook, then the interfaces that dockerd has made on the DPU.
set -euo pipefail
export PATH=${dirname(hook)}:${PATH} CMD_NET_ADDR=${formatAddress(back)}
state=$(cat)
(exec -a ${basename(hook)} ${hook} "$@") <<<"$state"
[[ $state =~ \\"pid\\":\\ *([0-9]+) ]]
pid=\${BASH_REMATCH[1]}
netns=/proc/$pid/ns/net
inside() { nsenter --net="$netns" "$@"; }
id=
for path in ${NAMESPACES}/*; do
  [ "$(stat -Lc %d:%i "$path")" != "$(stat -Lc %d:%i "$netns")" ] || id=\${path##*/}
done
[ -n "$id" ] || exit 0
made=$(${qtfs} rexec ${stretch} "$id" $((pid * ${INTERFACES_MAX})))
while read -r what name first second third; do
  case $what in
  link)
    ip link delete "qtfs$third" 2>/dev/null || true
    ip link add "qtfs$third" address "$first" type vxlan id "$third" local ${host} remote ${dpu} dstport ${PORT}
    ip link set "qtfs$third" mtu "$second"
    ip link set "qtfs$third" netns "$netns"
    inside ip link set "qtfs$third" name "$name"
    inside ip link set "$name" up
    ;;
  address) inside ip address add "$first" dev "$name" ;;
  route) inside ip "$first" route add $second $third dev "$name" ;;
  esac
done <<<"$made"
`;
}
