/**
 * Mount namespaces of a test's own. A new one has a copy of every mount there is, also of
 * those that other tests have made meanwhile; as long as it has them, those cannot end.
 */

const SCRIPT = `
grep ' - fuse.qtfs ' /proc/self/mountinfo | cut -d ' ' -f 5 | while read -r at; do
  umount --lazy --no-canonicalize "$(printf %b "$at")" 2>/dev/null
done
exec "$@"`;

/** What comes before a command in a new mount namespace: it lets go of the mounts of others there. */
export const WITHOUT_OTHERS: readonly string[] = ["sh", "-c", SCRIPT, "sh"];
