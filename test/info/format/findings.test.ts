import { expect, test } from "bun:test";
import { failure, ok, warning } from "../../../src/info/doctor/finding.ts";
import { formatFindings } from "../../../src/info/format/findings.ts";

test("a line for each, what to do below it, and how many there are", () => {
  const text = formatFindings([
    ok("user", "root"),
    failure("/dev/fuse", "It cannot be opened.", "modprobe fuse"),
    warning("clock", "It is\x1b late.", "Set it."),
  ]);
  expect(text).toBe(
    "ok      user       root\n" +
      "FAILURE /dev/fuse  It cannot be opened.\n" +
      "                   → modprobe fuse\n" +
      "WARNING clock      It is\\x1b late.\n" +
      "                   → Set it.\n" +
      "1 failure, 1 warning.\n",
  );
});

test("when all is well it says so", () => {
  expect(formatFindings([ok("user", "root")])).toEndWith("Nothing is wrong.\n");
});
