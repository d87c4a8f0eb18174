import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";

const share = await mountTree();
afterAll(share.close);

const own = `${share.mountpoint}/own`;
const app = `${share.mountpoint}/app`;
// Everything that npm writes lies on the mount, its cache too; the user's settings stay out.
const env = {
  npm_config_userconfig: "/dev/null",
  npm_config_cache: `${share.mountpoint}/cache`,
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_update_notifier: "false",
};
const inApp = { cwd: app, env, timeoutMs: 240_000 };

const SOURCE = `
import { answer } from "own";
import { satisfies } from "semver";
console.log(answer(), satisfies("1.2.3", "^1.0.0"));
`;

test("npm pack packs a package", async () => {
  mkdirSync(own);
  writeFileSync(`${own}/package.json`, JSON.stringify({ name: "own", version: "1.0.0" }));
  writeFileSync(`${own}/index.js`, "export const answer = () => 6 * 7;\n");
  await sh("npm pack", { cwd: own, env });
  expect(await sh("tar -tf own-1.0.0.tgz | sort", { cwd: own })).toBe(
    "package/index.js\npackage/package.json\n",
  );
});

test("npm install installs it and packages of the registry", async () => {
  mkdirSync(app);
  const dependencies = {
    acorn: "8.14.0",
    esbuild: "0.24.0",
    glob: "11.0.0",
    own: "file:../own/own-1.0.0.tgz",
    semver: "7.6.3",
  };
  writeFileSync(
    `${app}/package.json`,
    JSON.stringify({ name: "app", version: "1.0.0", type: "module", dependencies }),
  );
  await sh("npm install", inApp);
  const listed = await sh("npm ls --depth 0 --parseable --long", inApp);
  for (const [name, version] of Object.entries({ ...dependencies, own: "1.0.0" })) {
    expect(listed).toContain(`:${name}@${version}`);
  }
}, 300_000);

test("what it linked into .bin runs", async () => {
  expect(await sh("node_modules/.bin/semver 1.2.3 4.5.6 -r '^4'", inApp)).toBe("4.5.6\n");
  expect(await sh("npx --no-install glob 'node_modules/own/*.js'", inApp)).toBe(
    "node_modules/own/index.js\n",
  );
  expect(await sh("echo 1+1 | node_modules/.bin/acorn --compact", inApp)).toContain(
    "BinaryExpression",
  );
});

test("a build with its native program gives a bundle that runs, on the HOST too", async () => {
  writeFileSync(`${app}/main.js`, SOURCE);
  await sh(
    "npx --no-install esbuild main.js --bundle --platform=node --minify --outfile=out.cjs",
    inApp,
  );
  expect(await sh("node out.cjs && node main.js", inApp)).toBe("42 true\n42 true\n");
  expect(await sh("node out.cjs", { cwd: `${share.tree}/app` })).toBe("42 true\n");
});

test("npm ci installs the same from its cache, without the registry", async () => {
  const files = "find node_modules -type f -print0 | sort -z | xargs -0 sha1sum";
  const before = await sh(files, inApp);
  await sh("npm ci --offline", inApp);
  expect(await sh(files, inApp)).toBe(before);
  await sh("rm -r node_modules && test ! -e node_modules", inApp);
}, 300_000);
