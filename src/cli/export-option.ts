/** The value of `qtfs server --export`. */
import { resolve } from "node:path";
import { suggestion } from "../config/suggest.ts";
import { isOperationClass, OPERATION_CLASSES } from "../server/classes.ts";
import type { Export } from "../server/exports.ts";
import { UsageError } from "./errors.ts";

/** `/srv`, `/srv:ro`, `/srv:rw,sysmount`; what else is behind a colon belongs to the path. */
export function readExport(text: string): Export {
  const [, path = "", words = "rw"] = /^(.*?)(?::((?:ro|rw)(?:,[^/]*)?))?$/s.exec(text) ?? [];
  if (path === "") throw new UsageError(`"${text}" names no directory to export`);
  const [mode, ...allow] = words.split(",");
  const unknown = allow.find((word) => !isOperationClass(word));
  if (unknown !== undefined) {
    const hint = suggestion(unknown, OPERATION_CLASSES);
    throw new UsageError(`--export ${text}: nothing is called "${unknown}"${hint}`);
  }
  const classes = allow.filter(isOperationClass);
  return { path: resolve(path), readOnly: mode === "ro", ...(classes[0] && { allow: classes }) };
}
