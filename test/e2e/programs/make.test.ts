import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";

const UNITS = 200;
const share = await mountTree();
afterAll(share.close);
const project = { cwd: `${share.mountpoint}/project` };

const MAKEFILE = `CFLAGS = -O1 -g -Wall -Werror -MMD -Iinclude
OBJECTS = $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))
all: build/program
build/program: build/libunits.a build/main.o
\t$(CC) -o $@ build/main.o -Lbuild -lunits
build/libunits.a: $(filter-out build/main.o,$(OBJECTS))
\trm -f $@ && $(AR) rcs $@ $^
build/%.o: src/%.c | build
\t$(CC) $(CFLAGS) -c -o $@ $<
build:
\tmkdir -p $@
test: build/program
\tbuild/program
clean:
\trm -rf build
-include $(OBJECTS:.o=.d)
`;

/** ${UNITS} C files, each with a header, each calling the one before it. */
function writeProject(root: string): void {
  for (const directory of ["src", "include"])
    mkdirSync(`${root}/${directory}`, { recursive: true });
  writeFileSync(`${root}/Makefile`, MAKEFILE);
  for (let i = 0; i < UNITS; i++) {
    const before = i === 0 ? "0" : `unit${i - 1}()`;
    const include = i === 0 ? "" : `#include "unit${i - 1}.h"\n`;
    writeFileSync(`${root}/include/unit${i}.h`, `int unit${i}(void);\n`);
    writeFileSync(
      `${root}/src/unit${i}.c`,
      `#include "unit${i}.h"\n${include}int unit${i}(void) { return ${before} + ${i}; }\n`,
    );
  }
  const last = `unit${UNITS - 1}`;
  writeFileSync(
    `${root}/src/main.c`,
    `#include <stdio.h>\n#include "${last}.h"\n` +
      `int main(void) { printf("%d\\n", ${last}()); return 0; }\n`,
  );
}

const SUM = `${(UNITS * (UNITS - 1)) / 2}\n`;

test("builds and runs with make -j4", async () => {
  writeProject(project.cwd);
  await sh("make -j4", project);
  expect(await sh("make -s test", project)).toBe(SUM);
}, 180_000);

test("leaves nothing to be done the second time", async () => {
  expect(await sh("make -j4", project)).toBe("make: Nothing to be done for 'all'.\n");
});

test("rebuilds what depends on an edited header, and only that", async () => {
  await sh("echo '/* edited */' >> include/unit42.h", project);
  const compiled = (await sh("make", project)).match(/ src\/\w+\.c$/gm);
  expect(compiled?.sort()).toEqual([" src/unit42.c", " src/unit43.c"]);
  expect(await sh("make", project)).toBe("make: Nothing to be done for 'all'.\n");
});

test("rebuilds what was edited on the HOST", async () => {
  await sh("sed -i 's/+ 7;/+ 8;/' src/unit7.c", { cwd: `${share.tree}/project` });
  expect((await sh("make", project)).match(/ src\/\w+\.c$/gm)).toEqual([" src/unit7.c"]);
  expect(await sh("make -s test", project)).toBe(`${Number(SUM) + 1}\n`);
});

test("strips, installs and cleans", async () => {
  await sh(
    "strip -o stripped build/program && install -D -m 0755 stripped out/bin/program",
    project,
  );
  expect(await sh("out/bin/program", project)).toBe(`${Number(SUM) + 1}\n`);
  await sh("make clean && test ! -e build", project);
});
