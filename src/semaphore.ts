/** How many pieces of work run at a time, and how long and how many others wait for their turn. */
export interface SemaphoreOptions {
  readonly permits: number;
  readonly maxWaiting: number;
  /** Milliseconds that one may wait; without it there is no limit. */
  readonly patience?: number;
  /** Makes the error for work that was turned away or waited too long. */
  readonly refusal: () => Error;
}

/** Lets a few pieces of work run at a time; the others wait in the order they came, up to a limit. */
export class Semaphore {
  readonly #options: SemaphoreOptions;
  readonly #waiting = new Set<() => void>();
  readonly #idle: (() => void)[] = [];
  #free: number;

  constructor(options: SemaphoreOptions) {
    this.#options = options;
    this.#free = options.permits;
  }

  /** Runs `work` when its turn comes, never before the caller's own code has run on. Rejects with the refusal. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#free === this.#options.permits) resolve();
    else this.#idle.push(resolve);
    return promise;
  }

  #turn(): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { maxWaiting, patience, refusal } = this.#options;
    if (this.#waiting.size >= maxWaiting) return Promise.reject(refusal());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = () => {
      this.#waiting.delete(enter);
      reject(refusal());
    };
    const timer = patience === undefined ? undefined : setTimeout(giveUp, patience);
    const enter = () => {
      clearTimeout(timer);
      resolve();
    };
    this.#waiting.add(enter);
    return promise;
  }

  /** Hands the permit to who waits longest, or puts it back. */
  #pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      if (this.#free === this.#options.permits) for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
