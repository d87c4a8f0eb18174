/** What a reactor has at the moment, for `qtfs info`. */
import type { ReactorServices } from "./services.ts";
import type { Lease, Sessions } from "./sessions.ts";

export function refreshGauges(services: ReactorServices, sessions: Sessions): void {
  const leases = [...sessions.all];
  const { connected } = sessions;
  const sum = (of: (lease: Lease) => number) => leases.reduce((n, lease) => n + of(lease), 0);
  const moved = (of: "bytesReceived" | "bytesSent") =>
    connected.reduce((n, { connection }) => n + connection[of], 0);
  const { counters, polls, calls } = services;
  const figures = {
    SESSIONS: leases.length,
    DETACHED: leases.length - connected.length,
    NODES: sum(({ session }) => session.tree?.nodes.count ?? 0),
    HANDLES: sum(({ session }) => session.tree?.handles.count ?? 0),
    LOCKS: sum(({ session }) => session.tree?.locks.size ?? 0),
    WAITING: sum(({ session }) => session.waiting),
    BYTES_IN: sessions.endedIn + moved("bytesReceived"),
    BYTES_OUT: sessions.endedOut + moved("bytesSent"),
    WATCHES: polls.size,
    EVENT_WATCHES: services.watcher.happenings.size,
    EVENTS: sum(({ session }) => session.tree?.hearing.told ?? 0),
    EVENTS_LOST:
      services.watcher.happenings.overflows + sum(({ session }) => session.tree?.watched.lost ?? 0),
    THREADS: calls.threads,
  } as const;
  for (const name of Object.keys(figures) as (keyof typeof figures)[]) {
    counters.gauge(name, figures[name]);
  }
}
