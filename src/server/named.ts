/** What a name may attach to: the server's exports, or what its enrolment says of them. */
import type { Gate } from "../identity/gate.ts";
import { close } from "../sys/open.ts";
import { type Export, openRoot } from "./exports.ts";

/** The exports for a client that has shown `name`, or none: those of the server then. */
export function exportsFor(
  { exports, gate }: { readonly exports: readonly Export[]; readonly gate?: Gate },
  name: string | undefined,
): readonly Export[] {
  if (name === undefined) return exports;
  const rule = gate?.ruleOf(name);
  if (rule === undefined) return [];
  return (
    rule.exports?.flatMap((named): Export[] => {
      const root = openRoot(exports, named.path);
      // It names what the server does not export.
      if (typeof root === "number") return [];
      close(root.fd);
      return [
        {
          path: root.path,
          readOnly: root.readOnly || named.readOnly,
          allow: root.allow.filter((one) => named.allow.includes(one)),
          ...(root.follows ? {} : { magicLinks: false }),
        },
      ];
    }) ?? exports
  );
}
