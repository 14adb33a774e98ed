import type { Log } from "../observe/log.ts";

export type TimerHandler = (id: string, payload: string) => Promise<void>;

/** Timers of one kind that may fire on this node at the same time: a wave of them must not swamp the database. */
const concurrency = 16;

/** Milliseconds until a timer whose handler rejected is tried again. */
export const retryPause = 5_000;

/** Milliseconds that closing waits for handlers that run. */
export const closingPatience = 500;

/** The handlers of this node and what they are running. */
export class TimerHandlers {
  readonly #handlers = new Map<string, TimerHandler>();
  readonly #running = new Map<string, Set<Promise<boolean>>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Sets the handler of a kind; a later one takes its place, as in a reload where old and new overlap. */
  set(kind: string, handler: TimerHandler): () => void {
    const entry: TimerHandler = (id, payload) => handler(id, payload);
    this.#handlers.set(kind, entry);
    return () => {
      if (this.#handlers.get(kind) === entry) this.#handlers.delete(kind);
    };
  }

  /** The kinds that have a handler. */
  kinds(): string[] {
    return [...this.#handlers.keys()];
  }

  /** How many more timers of a kind may fire here now. */
  free(kind: string): number {
    return this.#handlers.has(kind) ? concurrency - (this.#running.get(kind)?.size ?? 0) : 0;
  }

  /** Fires a timer: true when its handler resolved, false when it is to be tried again. Never rejects. */
  run(kind: string, id: string, payload: string): Promise<boolean> {
    const running = this.#running.get(kind) ?? new Set();
    this.#running.set(kind, running);
    const run = this.#call(kind, id, payload).finally(() => running.delete(run));
    running.add(run);
    return run;
  }

  /** Resolves when everything that runs now has ended. */
  async settled(): Promise<void> {
    await Promise.all([...this.#running.values()].flatMap((running) => [...running]));
  }

  async #call(kind: string, id: string, payload: string): Promise<boolean> {
    try {
      const handler = this.#handlers.get(kind);
      if (handler === undefined) return false;
      await handler(id, payload);
      return true;
    } catch (error) {
      this.#log.error({ err: error, kind }, "timer handler failed, it will be tried again");
      return false;
    }
  }
}
