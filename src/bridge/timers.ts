/** Functions that are to be called later, the next one first: a binary heap by time. */

/** One that waits; `at` is in ms of the clock that the owner reads. */
interface Timer {
  readonly at: number;
  fn: (() => void) | undefined;
}

export class Timers {
  readonly #heap: Timer[] = [];
  /** Those cancelled that are still in the heap. */
  #dead = 0;

  /** Has `fn` called at `at`; the result cancels that. */
  add(at: number, fn: () => void): () => void {
    const timer: Timer = { at, fn };
    this.#heap.push(timer);
    this.#rise(this.#heap.length - 1);
    return () => {
      if (timer.fn === undefined) return;
      timer.fn = undefined;
      this.#dead++;
      // Timers that are set and cancelled over and over must not pile up.
      if (this.#dead > 64 && this.#dead * 2 > this.#heap.length) this.#sweep();
    };
  }

  /** When the next is due; Infinity where there is none. */
  get next(): number {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.fn !== undefined) return first.at;
      this.#dead--;
      this.#pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Calls all that are due at `now`; how many. Those that they add wait for the next call. */
  run(now: number): number {
    const due: Timer[] = [];
    while (this.next <= now) due.push(this.#pop());
    let called = 0;
    for (const timer of due) {
      const { fn } = timer;
      timer.fn = undefined;
      if (fn === undefined) {
        // Cancelled by one before it: it is in the heap no more.
        this.#dead--;
        continue;
      }
      fn();
      called++;
    }
    return called;
  }

  #sweep(): void {
    const alive = this.#heap.filter((timer) => timer.fn !== undefined);
    alive.sort((a, b) => a.at - b.at);
    this.#heap.splice(0, this.#heap.length, ...alive);
    this.#dead = 0;
  }

  #pop(): Timer {
    const heap = this.#heap;
    const first = heap[0] as Timer;
    const last = heap.pop() as Timer;
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return first;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const timer = heap[from] as Timer;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Timer;
      if (above.at <= timer.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = timer;
  }

  #sink(): void {
    const heap = this.#heap;
    const timer = heap[0] as Timer;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < left.at) child++;
      const below = heap[child] as Timer;
      if (below.at >= timer.at) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = timer;
  }
}
