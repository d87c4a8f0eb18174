import { describe, expect, test } from "bun:test";
import {
  aliasName,
  channelOfDoors,
  DEPTH_MAX,
  doorName,
  doorsLow,
  fitting,
  levelLow,
  levelOf,
  nextDoor,
  readAlias,
  readDoor,
} from "../../../src/client/twins/doors.ts";
import { CHANNELS_MAX } from "../../../src/fuse/channels.ts";

const NODE = [0xabcd_ef01, 0xffff_fffe] as const;

describe("names of the hidden directory", () => {
  test("say which node they lead to", () => {
    expect(readAlias(aliasName(NODE))).toEqual([...NODE]);
    expect(readDoor(doorName(12_345, NODE, 7))).toEqual({ number: 12_345, node: NODE, depth: 7 });
  });

  test("that are others are not read", () => {
    for (const name of ["", "a", "a1", "a1.", "a1.2.3", "b1.2", "a123456789.1", "ax.1"]) {
      expect(readAlias(name)).toBeUndefined();
      expect(readDoor(name)).toBeUndefined();
    }
    expect(readDoor(aliasName(NODE))).toBeUndefined();
    expect(readDoor("d1.2.3")).toBeUndefined();
  });
});

describe("numbers of its directories", () => {
  test("of channels and of levels are all different", () => {
    for (const channel of [0, 1, CHANNELS_MAX]) {
      expect(channelOfDoors(doorsLow(channel))).toBe(channel);
      expect(levelOf(doorsLow(channel))).toBeUndefined();
    }
    for (const number of [nextDoor(0), nextDoor(), 2 ** 26 - 1]) {
      for (const level of [0, 1, DEPTH_MAX]) {
        const low = levelLow(number, level);
        expect(low).toBeGreaterThan(doorsLow(CHANNELS_MAX));
        expect(low).toBeLessThan(2 ** 32);
        expect(levelOf(low)).toEqual({ number, level });
      }
    }
  });

  test("go on from the first after the last", () => {
    expect(nextDoor(2 ** 26 - 1)).toBe(nextDoor(0));
    expect(nextDoor(5000)).toBe(5001);
  });
});

describe("a path for a socket", () => {
  test("is the whole one where it fits", () => {
    expect(fitting("/run/docker.sock")).toBe("/run/docker.sock");
    expect(fitting(`/${"x".repeat(106)}`)).toBe(`/${"x".repeat(106)}`);
  });

  test("is as many names of its end as fit", () => {
    expect(fitting(`/${"x".repeat(60)}/${"y".repeat(60)}/socket`)).toBe(`${"y".repeat(60)}/socket`);
    expect(fitting(`/${"x".repeat(200)}/socket`)).toBe("socket");
  });

  test("is never deeper than a door", () => {
    const deep = Array.from({ length: 80 }, () => "").join("/a");
    const names = fitting(deep).split("/");
    expect(names.length).toBeLessThanOrEqual(DEPTH_MAX);
    expect(fitting(deep).length).toBeLessThanOrEqual(107);
  });
});
