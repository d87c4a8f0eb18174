/** Which texts of symbolic links could lead out of a mount. */
import { expect, test } from "bun:test";
import { leadsOut } from "../../src/client/forward/links.ts";

/** Judged between other bytes, as they lie in a buffer. */
function judged(text: string): boolean {
  const bytes = Buffer.from(`../${text}/..`, "latin1");
  return leadsOut(bytes, 3, bytes.length - 3);
}

test.each([
  ...[
    "/",
    "/etc/passwd",
    "//x",
    "..",
    "../x",
    "../../x",
    "x/..",
    "x/../y",
    "./..",
    "x//..",
    "./../x",
  ],
  ...["..\0", "x/..\0/y", "a/b/c/.."],
])("%p leads out", (text) => {
  expect(judged(text)).toBe(true);
});

test.each([
  ...[
    "x",
    "x/y",
    ".",
    "./x",
    "...",
    ".../x",
    "x/...",
    "..x",
    "x..",
    "x../y",
    "..x/y",
    ".x.",
    "x/..y",
  ],
  ...["", "a b/c"],
])("%p does not", (text) => {
  expect(judged(text)).toBe(false);
});
