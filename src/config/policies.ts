/** `[[policy]]` of a server's configuration: how files of a type, or below a directory, are treated. */
import { z } from "zod";
import { FILE_SYSTEM_TYPES, TREATMENTS } from "../server/fstypes.ts";
import { magicOf, type PolicyRule, refusal } from "../server/policy.ts";
import { suggestion } from "./suggest.ts";

export const policyTable = z.strictObject({
  type: z.string().optional(),
  path: z.string().startsWith("/", "it must be an absolute path").optional(),
  policy: z.enum(TREATMENTS),
});

/** The table as a rule; what is wrong with it is told as a sentence about one of its keys. */
export const policyRule = policyTable.transform((entry, context): PolicyRule => {
  const { type, path, policy: treatment } = entry;
  const refuse = (key: string, message: string) => {
    context.addIssue({ code: "custom", path: [key], message });
    return z.NEVER;
  };
  if (path !== undefined) {
    if (type !== undefined) return refuse("path", "give a type or a path, not both");
    return { path: path.replace(/(?<=.)\/+$/, ""), treatment };
  }
  if (type === undefined) return refuse("policy", "give the type or the path that it is for");
  const magic = magicOf(type);
  if (magic === undefined) {
    const names = FILE_SYSTEM_TYPES.map(({ name }) => name);
    return refuse("type", `no file system is of type "${type}"${suggestion(type, names)}`);
  }
  const reason = refusal(magic, treatment);
  return reason === undefined ? { magic, treatment } : refuse("policy", reason);
});
