/**
 * Notices a conversation of single messages in which each wake-up costs more than the work,
 * and says when to pause for a moment, which ends that.
 *
 * Two programs and the threads between them do one thing at a time, so one core is enough.
 * The kernel wakes the next one on the waker's core (WF_SYNC) unless another core is idle.
 * In a virtual machine it does not regard a core as idle that its host has taken away
 * (vcpu_is_preempted), and the host takes it away only after it has been idle for some
 * 200 µs or more (kvm's halt_poll_ns, which grows while it is idle for less). So all stay on one core, with a wake-up of 3 µs; or they change
 * cores at each message, for 15 to 30 µs each, and the other core is never idle for long enough.
 * Which of the two it is stays as it began by chance. A pause of all makes it the first.
 *
 * Measured with two cores: a ping-pong over a bridged socket takes 75 to 135 µs or 19 to 23 µs.
 */

/** Waits that are looked at together. */
const RUN = 32;
/** A wait that took longer on average had a wake-up on another core in it, or a network. */
const SLOW_NS = 25_000;
/** What waits so long has no hurry, or others have the cores: it says nothing. */
const LONG_NS = 200_000;
/** Waits until the next try where pauses do not help: from so many to so many. */
const BACKOFF_MIN = 2 * RUN;
const BACKOFF_MAX = 2048;
/** How long to pause first, and where that does not help; the kernel adds 50 (timer slack). */
const PAUSE_MIN_US = 300;
const PAUSE_MAX_US = 1200;

export class Rhythm {
  /** The descriptors of the last two waits. */
  #last = -1;
  #before = -1;
  #count = 0;
  #sumNs = 0;
  /** Waits until there may be a pause, and how many there will be after the next one. */
  #skip = 0;
  #backoff = BACKOFF_MIN;
  #pauseUs = PAUSE_MIN_US;
  /** The last run was slow, after a pause. */
  #hasFailed = false;

  /**
   * A wait of `ns` has ended with `fd` alone (-1: with none or with several). For how many µs to
   * pause now: not 0 where two descriptors have had their turns, and slowly.
   */
  waited(fd: number, ns: number): number {
    const alternates = fd >= 0 && fd === this.#before && fd !== this.#last;
    this.#before = this.#last;
    this.#last = fd;
    if (!alternates) this.#begin();
    if (!alternates || ns > LONG_NS) return 0;
    this.#sumNs += ns;
    if (++this.#count < RUN) return 0;
    const isSlow = this.#sumNs > RUN * SLOW_NS;
    this.#begin();
    return isSlow ? this.#try() : this.#isFast();
  }

  #begin(): void {
    this.#count = 0;
    this.#sumNs = 0;
  }

  #isFast(): number {
    this.#skip = 0;
    this.#hasFailed = false;
    this.#backoff = Math.max(BACKOFF_MIN, this.#backoff / 2);
    return 0;
  }

  #try(): number {
    this.#skip -= RUN;
    if (this.#skip > 0) return 0;
    if (this.#hasFailed) this.#pauseUs = Math.min(this.#pauseUs * 2, PAUSE_MAX_US);
    this.#hasFailed = true;
    this.#skip = this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, BACKOFF_MAX);
    return this.#pauseUs;
  }
}
