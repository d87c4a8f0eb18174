/** A thread that tells a box of many keys: box.test.ts. */
import { BoxKind, BridgeBox, What } from "../../../src/server/bridge/box.ts";

declare const self: {
  onmessage: ((event: { data: Told }) => void) | null;
};

interface Told {
  wakeFd: number;
  shared: SharedArrayBuffer;
  owner: number;
  count: number;
}

self.onmessage = async ({ data: { wakeFd, shared, owner, count } }) => {
  const box = new BridgeBox(wakeFd, shared);
  for (let key = 0; key < count; ) {
    const told = { kind: BoxKind.ADD, fd: 7, what: What.NODE, type: 1, key, owner };
    if (box.offer(told)) key++;
    else await Bun.sleep(1);
  }
};
