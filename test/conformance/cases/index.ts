/** All cases of the library. */
import type { Case } from "../harness/case.ts";
import { cases as acl } from "./acl.ts";
import { cases as aclDefault } from "./acl-default.ts";
import { cases as aclForm } from "./acl-form.ts";
import { cases as concurrency } from "./concurrency.ts";
import { cases as exec } from "./exec.ts";
import { cases as fallocate } from "./fallocate.ts";
import { cases as fifo } from "./fifo.ts";
import { cases as flock } from "./flock.ts";
import { handles, cases as inodeFlags } from "./inode-flags.ts";
import { cases as inotify } from "./inotify.ts";
import { cases as link } from "./link.ts";
import { cases as locksOfd } from "./locks-ofd.ts";
import { cases as locksPosix } from "./locks-posix.ts";
import { cases as mkdir, removal } from "./mkdir.ts";
import { cases as mknod } from "./mknod.ts";
import { cases as mmap } from "./mmap.ts";
import { cases as modeOwner, ownership } from "./mode-owner.ts";
import { cases as names } from "./names.ts";
import { cases as open } from "./open.ts";
import { cases as openFlags } from "./open-flags.ts";
import { cases as pathErrors } from "./path-errors.ts";
import { cases as races } from "./races.ts";
import { cases as readWrite } from "./read-write.ts";
import { huge, cases as readdir } from "./readdir.ts";
import { cases as rename } from "./rename.ts";
import { cases as renameDirectory } from "./rename-directory.ts";
import { cases as renameFlags } from "./rename-flags.ts";
import { cases as seek } from "./seek.ts";
import { cases as setId, sticky } from "./set-id.ts";
import { cases as socket } from "./socket.ts";
import { fileSystem, permission, cases as stat } from "./stat.ts";
import { cases as symlink } from "./symlink.ts";
import { cases as sync } from "./sync.ts";
import { cases as times } from "./times.ts";
import { cases as tmpfile } from "./tmpfile.ts";
import { cases as transfer } from "./transfer.ts";
import { cases as truncate } from "./truncate.ts";
import { nameless, cases as unlink } from "./unlink.ts";
import { directories, masks, cases as users, userTimes } from "./users.ts";
import { cases as workingDirectory } from "./working-directory.ts";
import { cases as xattr } from "./xattr.ts";
import { cases as xattrUsers } from "./xattr-users.ts";

export const cases: readonly Case[] = [
  aclDefault,
  aclForm,
  acl,
  concurrency,
  exec,
  fallocate,
  fifo,
  flock,
  inodeFlags,
  handles,
  inotify,
  link,
  locksOfd,
  locksPosix,
  mkdir,
  removal,
  mknod,
  mmap,
  modeOwner,
  ownership,
  names,
  openFlags,
  open,
  pathErrors,
  races,
  readWrite,
  readdir,
  huge,
  renameDirectory,
  renameFlags,
  rename,
  seek,
  setId,
  sticky,
  socket,
  stat,
  fileSystem,
  permission,
  symlink,
  sync,
  times,
  tmpfile,
  transfer,
  truncate,
  unlink,
  nameless,
  users,
  directories,
  userTimes,
  masks,
  workingDirectory,
  xattrUsers,
  xattr,
].flat();
