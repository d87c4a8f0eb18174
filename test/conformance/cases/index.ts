/** All cases of the library. */
import type { Case } from "../harness/case.ts";
import { cases as link } from "./link.ts";
import { cases as mkdir, removal } from "./mkdir.ts";
import { cases as pathErrors } from "./path-errors.ts";
import { cases as rename } from "./rename.ts";
import { cases as renameDirectory } from "./rename-directory.ts";
import { cases as renameFlags } from "./rename-flags.ts";
import { cases as symlink } from "./symlink.ts";
import { nameless, cases as unlink } from "./unlink.ts";

export const cases: readonly Case[] = [
  link,
  mkdir,
  removal,
  pathErrors,
  rename,
  renameDirectory,
  renameFlags,
  symlink,
  unlink,
  nameless,
].flat();
