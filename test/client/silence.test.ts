/** How long a server has said nothing, and what is to be done about it. */
import { describe, expect, test } from "bun:test";
import { Silence, Verdict } from "../../src/client/silence.ts";

const START_NS = 5e9;

/** Verdicts after so many milliseconds of silence, each probe being made when it is asked for. */
function verdicts(silence: Silence, ...afterMs: number[]): number[] {
  return afterMs.map((ms) => {
    silence.begin(START_NS);
    const verdict = silence.judge(START_NS + ms * 1e6);
    if (verdict === Verdict.PROBE) silence.probed();
    return verdict;
  });
}

const { NOTHING, PROBE, SUSPECT, GIVE_UP } = Verdict;

describe("a silence", () => {
  test("is probed, suspected and given up, one after the other", () => {
    const silence = new Silence(5000);
    expect(verdicts(silence, 0, 240, 260, 270, 490, 510, 4900, 5010)).toEqual([
      ...[NOTHING, NOTHING, PROBE, NOTHING, NOTHING, SUSPECT, SUSPECT, GIVE_UP],
    ]);
  });

  test("that is bounded tightly is probed within the bound", () => {
    const silence = new Silence(90);
    expect(verdicts(silence, 20, 31, 40, 46, 91)).toEqual([
      ...[NOTHING, PROBE, NOTHING, SUSPECT, GIVE_UP],
    ]);
  });

  test("without a bound is never given up", () => {
    const silence = new Silence(0);
    expect(verdicts(silence, 240, 260, 510, 3_600_000)).toEqual([NOTHING, PROBE, SUSPECT, SUSPECT]);
  });

  test("ends with a word, and the next one counts anew", () => {
    const silence = new Silence(1000);
    expect(verdicts(silence, 260, 600)).toEqual([PROBE, SUSPECT]);
    expect(silence.broken()).toBe(false);
    silence.begin(START_NS + 1e9);
    expect(silence.judge(START_NS + 1.2e9)).toBe(NOTHING);
    expect(silence.judge(START_NS + 1.3e9)).toBe(PROBE);
  });

  test("is borne twice as long after each suspicion that was in vain", () => {
    const silence = new Silence(0);
    silence.suspectedInVain();
    silence.begunAnew();
    expect(verdicts(silence, 260, 510, 990, 1010)).toEqual([PROBE, NOTHING, NOTHING, SUSPECT]);
    silence.suspectedInVain();
    silence.begunAnew();
    expect(verdicts(silence, 260, 1010, 1990, 2010)).toEqual([PROBE, NOTHING, NOTHING, SUSPECT]);
  });

  test("is suspected as soon as ever once requests are answered at once again", () => {
    const silence = new Silence(0);
    silence.suspectedInVain();
    silence.begunAnew();
    silence.progressed();
    expect(verdicts(silence, 260, 510)).toEqual([PROBE, SUSPECT]);
  });

  test("that was suspected in vain shows how long the next one may last", () => {
    const silence = new Silence(0);
    silence.suspectedInVain();
    silence.begunAnew();
    const sinceNs = Bun.nanoseconds() - 2e9;
    silence.begin(sinceNs);
    silence.judge(sinceNs + 0.3e9);
    silence.probed();
    silence.broken();
    silence.progressed();
    const nextNs = Bun.nanoseconds();
    silence.begin(nextNs);
    expect(silence.judge(nextNs + 0.3e9)).toBe(PROBE);
    silence.probed();
    expect(silence.judge(nextNs + 3.9e9)).toBe(NOTHING);
    expect(silence.judge(nextNs + 4.5e9)).toBe(SUSPECT);
  });

  test("that was too long says so when it ends, once", () => {
    const silence = new Silence(1000);
    silence.tooLong = true;
    expect([silence.broken(), silence.broken()]).toEqual([true, false]);
  });

  test("does not count while we were stopped ourselves", () => {
    const silence = new Silence(1000);
    silence.begin(START_NS);
    silence.restart(START_NS + 9e9);
    expect(silence.judge(START_NS + 9.1e9)).toBe(NOTHING);
    expect(silence.judge(START_NS + 9.3e9)).toBe(PROBE);
  });
});
