/** What a mount on the HOST is made of, named as the HOST names it. */
import { type HostPlace, type HostPlaces, latin1, type Share } from "./places.ts";

/** Options of overlay that name directories, several divided by colons. */
const OVERLAY_PATHS = /^(lowerdir\+?|datadir\+|upperdir|workdir)=(.*)$/s;

/** What is to be bound or moved. */
export function sameMount(places: HostPlaces, at: HostPlace, source: string): HostPlace {
  const from = places.find(source);
  if (from?.mount === at.mount) return from;
  throw new Error(`Cannot mount ${source} on the HOST: it is not on the same mount of qtfs`);
}

/** The place of an absolute path, if it is one of the mount that `at` is on; other texts have none. */
export function findSource(
  places: HostPlaces,
  at: HostPlace,
  source: string,
): HostPlace | undefined {
  if (!source.startsWith("/")) return undefined;
  try {
    const from = places.find(source);
    return from?.mount === at.mount ? from : undefined;
  } catch {
    // A device of the HOST's, say: the HOST tells whether it exists.
    return undefined;
  }
}

/** The HOST's own path of a place, a byte a character. */
export function hostPath({ mount, path }: HostPlace<Pick<Share, "source">>): string {
  const top = latin1(mount.source).replace(/\/$/, "");
  return path === "" ? top || "/" : `${top}/${path}`;
}

/**
 * A file system's options as the HOST is told them: directories of an overlay that `find`
 * knows are named as the HOST names them, all else stays as it is. Texts have a byte a
 * character.
 */
export function translated(
  data: string,
  type: string,
  find: (path: string) => HostPlace<Pick<Share, "source">> | undefined,
): string {
  if (type !== "overlay") return data;
  const words = data.split(/(?<!\\),/).map((word) => {
    const [, name, value] = OVERLAY_PATHS.exec(word) ?? [];
    if (name === undefined || value === undefined) return word;
    const paths = value.split(/(?<!\\):/).map((path) => {
      const from = find(withoutEscapes(path));
      return from === undefined ? path : hostPath(from).replace(/[\\:,]/g, "\\$&");
    });
    return `${name}=${paths.join(":")}`;
  });
  return words.join(",");
}

/** A directory as an overlay's option has it, without the backslashes before colons and commas. */
function withoutEscapes(path: string): string {
  return path.replace(/\\(.)/g, "$1");
}
