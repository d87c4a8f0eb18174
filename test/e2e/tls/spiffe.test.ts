/**
 * A certificate authority of the user's own, with names in SPIFFE's form: its clients come in
 * once its certificate is among those believed and the name is enrolled.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import {
  type CertificateOptions,
  makeCertificate,
  makeRevocations,
} from "../../../src/sys/x509.ts";
import { until } from "../support/program.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { DAY_MS, Place } from "./place.ts";

const NAME = "spiffe://corp.example/rack-7/dpu";
const place = new Place();
const { directory, mountpoint, tree } = place;

const valid = {
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + DAY_MS),
};
const updates = { lastUpdate: valid.notBefore, nextUpdate: valid.notAfter };
const authority = makeCertificate({
  commonName: "Authority of corp.example",
  usage: "authority",
  serial: 1,
  ...valid,
});

/** The file of a client whom that authority calls `uri`, with its certificate alone to know it by. */
function identity(label: string, uri: string, changes: Partial<CertificateOptions> = {}): string {
  const options = { commonName: "dpu", uri, serial: 2, issuer: authority, ...valid, ...changes };
  const { key, certificate } = makeCertificate({ usage: "client", ...options });
  const path = `${directory}/${label}.identity`;
  const text = `address: ${place.address}\n${key}${certificate}${place.authority.certificate}`;
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

const mount = (path: string, source = tree) => place.mount(`identity=${path}`, source);

beforeAll(async () => {
  mkdirSync(`${tree}/below`);
  writeFileSync(`${tree}/below/file`, "below");
  await place.enroll("web1");
  await place.start();
});
afterAll(() => place.close());

test("an authority that is not believed vouches for nobody", async () => {
  const { code, stderr } = await mount(identity("dpu", NAME));
  expect(code).not.toBe(0);
  expect(stderr).toContain("certificate");
});

test("one that is believed vouches for nobody who is not enrolled", async () => {
  appendFileSync(`${place.identities}/authorities.pem`, authority.certificate);
  await until(
    async () => (await mount(`${directory}/dpu.identity`)).code !== 0 && place.log.includes(NAME),
    () => place.log,
  );
  expect(place.log).toContain(`${NAME} is not enrolled`);
});

test("an enrolled name has what it was enrolled for", async () => {
  const words = ["enroll", NAME, "--export", `${tree}/below:ro`, "--allow", "/usr/bin/*"];
  await place.identity(...words);
  expect(await place.identity("list")).toContain("by another authority");
  const path = `${directory}/dpu.identity`;
  expect((await mount(path)).stderr).toContain("does not export it");
  expect(await mount(path, `${tree}/below`)).toMatchObject({ code: 0, stderr: "" });
  expect((await run(["cat", `${mountpoint}/file`])).stdout).toBe("below");
  const written = await run(["touch", `${mountpoint}/new`]);
  expect(written.stderr).toContain("Read-only file system");
});

test("another name of that authority's, and one of ours, stay out", async () => {
  await place.umount();
  const other = await mount(identity("other", "spiffe://corp.example/rack-8/dpu"));
  expect(other.code).not.toBe(0);
  const { domain } = JSON.parse(readFileSync(`${place.identities}/names.json`, "utf8"));
  const stolen = await mount(identity("stolen", `spiffe://${domain}/client/web1`));
  expect(stolen.code).not.toBe(0);
  expect(place.log).toContain("its certificate for web1 is another authority's");
  expect(await mount(`${directory}/dpu.identity`, `${tree}/below`)).toMatchObject({ code: 0 });
});

test("programs run by the rules of that name", async () => {
  const log = `${directory}/rexec.log`;
  const output = openSync(log, "w");
  const address = place.address.replace(/\d+$/, (port) => `${Number(port) + 1}`);
  const rules = ["--identities", place.identities, "--allow", "/usr/**"];
  const server = Bun.spawn([QTFS, "rexec-server", "--listen", address, ...rules], {
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const said = () => readFileSync(log, "utf8");
  const rexec = (...words: string[]) =>
    run([QTFS, "rexec", "--server", address, "--identity", `${directory}/dpu.identity`, ...words]);
  try {
    await until(() => said().includes("Listening at"), said);
    expect(await rexec("echo", "here")).toMatchObject({ code: 0, stdout: "here\n" });
    expect((await rexec("/usr/sbin/chroot", "--version")).stderr).toContain("does not allow");
    expect(said()).toContain(`for ${NAME}`);
  } finally {
    server.kill("SIGINT");
    await server.exited;
  }
});

test("the list of that authority ends what it has revoked, and nothing else", async () => {
  const source = `${tree}/below`;
  const renewed = identity("renewed", NAME, { serial: 3 });
  const list = makeRevocations({ issuer: authority, serials: [2], ...updates });
  writeFileSync(`${place.identities}/lists.pem`, list, { mode: 0o600 });
  await place.says(`Ended the session of ${NAME}`);
  await run(["umount", "-l", mountpoint]);
  const { code, stderr } = await mount(`${directory}/dpu.identity`, source);
  expect(code).not.toBe(0);
  expect(stderr).toContain("certificate revoked");
  expect(await mount(renewed, source)).toMatchObject({ code: 0, stderr: "" });
  await place.umount();
  expect(await mount(`${directory}/web1.identity`)).toMatchObject({ code: 0, stderr: "" });
  await place.umount();
  expect(await mount(renewed, source)).toMatchObject({ code: 0, stderr: "" });
});

test("a name that is revoked has nothing any more", async () => {
  await place.identity("revoke", NAME);
  await until(
    () => place.log.split(`Ended the session of ${NAME}`).length === 3,
    () => place.log,
  );
  await run(["umount", "-l", mountpoint]);
  const renewed = await mount(`${directory}/renewed.identity`, `${tree}/below`);
  expect(renewed.stderr).toContain(`${NAME} is not enrolled`);
});
