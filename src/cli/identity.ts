/** `qtfs server enroll`, `renew`, `revoke` and `list`: who may come over TCP. */
import { resolve } from "node:path";
import { Authority } from "../identity/authority.ts";
import { DEFAULT_DIRECTORY, IdentityDirectory, type NameRule } from "../identity/directory.ts";
import { writeSecret } from "../identity/secrets.ts";
import { readAddress } from "./address.ts";
import { UsageError } from "./errors.ts";
import { readExport } from "./export-option.ts";
import { type Lists, type Program, program } from "./program.ts";

const DAYS_DEFAULT = 365;
const DAYS_MAX = 3650;

const NAME = {
  type: "positional",
  required: true,
  description: "The client: letters, digits, dots, dashes; or spiffe://… of another authority's.",
} as const;

const DIRECTORY = {
  type: "string",
  valueHint: "DIR",
  description: `Where the server keeps them. Default: ${DEFAULT_DIRECTORY}`,
} as const;

const ISSUE = {
  expires: {
    type: "string",
    valueHint: "DAYS",
    description: `How long its certificate is good. Default: ${DAYS_DEFAULT}`,
  },
  address: {
    type: "string",
    valueHint: "ADDR",
    description: "Where the client finds the server: tcp://HOST:PORT; repeatable.",
  },
  out: {
    type: "string",
    valueHint: "FILE",
    description: "The file that is written, with the client's key. Default: NAME.identity",
  },
} as const;

const enroll = program({
  name: "qtfs server enroll",
  description:
    "Lets a client in at tcp:// from now on, and writes the file that its machine needs: key, " +
    "certificate, the authority's certificate and the server's address. Copy it there by a way " +
    "that nobody else can read. A server that runs needs no restart. Certificates of other " +
    "authorities are believed once they are in DIR/authorities.pem.",
  examples: [
    {
      command: "qtfs server enroll web1 --address tcp://10.0.0.1:7000",
      does: "Writes web1.identity: on web1, qtfs mount -o identity=/etc/qtfs/web1.identity /srv /mnt.",
    },
    {
      command: "qtfs server enroll backup --expires 30 --export /srv:ro",
      does: "One that may only read, and only there.",
    },
  ],
  args: {
    name: NAME,
    ...ISSUE,
    export: {
      type: "string",
      valueHint: "PATH[:ro|:rw[,CLASS]…]",
      description:
        "What it may attach to, of what the server exports, and the classes of operations that " +
        "are its; repeatable. Default: all of the server's exports as they are.",
    },
    allow: {
      type: "string",
      valueHint: "PATTERN",
      description:
        "Programs that it may run, of those that the rexec-server allows; repeatable. Default: none.",
    },
    identities: DIRECTORY,
  },
  repeatable: ["address", "export", "allow"],
  run: async (args, lists) => {
    const authority = open(args.identities);
    authority.begin();
    const addresses = addressesOf(lists);
    const enrolment = { days: readDays(args.expires), addresses, rule: readRule(lists) };
    deliver(args.name, args.out, authority.enroll(args.name, enrolment));
    return 0;
  },
});

const renew = program({
  name: "qtfs server renew",
  description:
    "Makes another key and certificate for an enrolled client, with the same rights. The one it " +
    "has stays good until it expires; put the new file in the place of the old one, and the next " +
    "connection uses it.",
  examples: [
    { command: "qtfs server renew web1 --expires 90", does: "Writes web1.identity anew." },
  ],
  args: { name: NAME, ...ISSUE, identities: DIRECTORY },
  repeatable: ["address"],
  run: async (args, lists) => {
    const authority = open(args.identities);
    deliver(
      args.name,
      args.out,
      authority.renew(args.name, readDays(args.expires), addressesOf(lists)),
    );
    return 0;
  },
});

const revoke = program({
  name: "qtfs server revoke",
  description:
    "Lets a client in no more, by any certificate that it was given. Its sessions end at once.",
  examples: [{ command: "qtfs server revoke web1", does: "Ends what web1 has mounted." }],
  args: { name: NAME, identities: DIRECTORY },
  run: async ({ name, identities }) => {
    open(identities).revoke(name);
    return 0;
  },
});

const list = program({
  name: "qtfs server list",
  description: "Shows who is enrolled, until when, and with which rights.",
  examples: [{ command: "qtfs server list", does: "One line each." }],
  args: { identities: DIRECTORY },
  run: async ({ identities }) => {
    const { names } = new IdentityDirectory(resolve(identities ?? DEFAULT_DIRECTORY)).names();
    for (const [name, rule] of Object.entries(names))
      process.stdout.write(`${name}  ${describe(rule)}\n`);
    return 0;
  },
});

/** By the word that follows `qtfs server`. */
export const IDENTITY_PROGRAMS: Readonly<Record<string, Program>> = { enroll, renew, revoke, list };

function open(path: string | undefined): Authority {
  return new Authority(new IdentityDirectory(resolve(path ?? DEFAULT_DIRECTORY)));
}

function addressesOf({ address = [] }: Lists): string[] {
  for (const one of address) readAddress(one);
  return [...address];
}

function readRule({
  export: exports = [],
  allow = [],
}: Lists): Pick<NameRule, "exports" | "programs"> {
  return {
    ...(exports.length > 0 && {
      exports: exports.map((text) => {
        const { path, readOnly, allow: classes = [] } = readExport(text);
        return { path, readOnly, allow: classes };
      }),
    }),
    ...(allow.length > 0 && { programs: [...allow] }),
  };
}

function readDays(text: string | undefined): number {
  const days = Number(text ?? DAYS_DEFAULT);
  if (days > 0 && days <= DAYS_MAX) return days;
  throw new UsageError(`--expires takes a number of days up to ${DAYS_MAX}, not "${text}"`);
}

function deliver(name: string, out: string | undefined, text: string | undefined): void {
  if (text === undefined) {
    process.stdout.write(`${name} may come with a certificate of its own authority.\n`);
    return;
  }
  const path = resolve(out ?? `${name}.identity`);
  writeSecret(path, text);
  process.stdout.write(`${path}\n`);
}

function describe({ expires, exports, programs }: NameRule): string {
  const parts = [
    expires === undefined ? "by another authority" : `until ${expires}`,
    exports === undefined
      ? "all exports"
      : exports
          .map(({ path, readOnly, allow }) =>
            [`${path}:${readOnly ? "ro" : "rw"}`, ...allow].join(),
          )
          .join(" "),
    ...(programs === undefined ? [] : [`runs ${programs.join(" ")}`]),
  ];
  return parts.join("  ");
}
