/** A thread that waits until no supervised program is left: only then does its poll(2) return. */
import { POLLHUP, PollSet } from "../sys/poll.ts";

export type FromWatch = "ended";

declare const self: {
  onmessage: ((event: { data: number }) => void) | null;
  postMessage(message: FromWatch): void;
};

function watch(listener: number): void {
  const polls = new PollSet(1);
  // For no event but the hang-up: calls that come do not wake it.
  const index = polls.add(listener, 0);
  while ((polls.revents(index) & POLLHUP) === 0) polls.wait(-1);
  self.postMessage("ended");
}

self.onmessage = (event) => watch(event.data);
