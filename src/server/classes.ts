/**
 * Classes of operations that an export allows only by name, because they reach
 * beyond its files. The names are those of a section of the whitelist that the
 * original qtfs reads (`[Sysmount]`), in lower case.
 */

export const OPERATION_CLASSES = ["sysmount", "device", "ioctl", "process", "names"] as const;

/**
 * - `sysmount`: mounts and unmounts beneath the export, in the server's mount namespace.
 *   Whoever may mount can bring any part of the HOST beneath the export.
 * - `device`: device nodes beneath the export open the HOST's devices.
 * - `ioctl`: ioctl(2) on those devices.
 * - `process`: signals to any process of the HOST, and on which processors it runs.
 * - `names`: abstract names of unix sockets (unix(7)) in the server's network namespace: connecting to
 *   any, and being connected to at any that nobody has.
 */
export type OperationClass = (typeof OPERATION_CLASSES)[number];

/** Whether `word` names a class. */
export function isOperationClass(word: string): word is OperationClass {
  return (OPERATION_CLASSES as readonly string[]).includes(word);
}
