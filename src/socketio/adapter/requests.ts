import type { Clock } from "../../clock.ts";

/** A node did not answer in time; `answers` are those that came. */
export class MissingAnswers extends Error {
  override readonly name = "MissingAnswers";
  readonly answers: readonly unknown[];

  constructor(missing: number, answers: readonly unknown[]) {
    super(`timeout reached: ${missing} of ${missing + answers.length} nodes did not answer`);
    this.answers = answers;
  }
}

/** Hears what other nodes say to one request. */
export interface Listener {
  /** A node tells how many clients it asked. */
  readonly clients?: (count: number) => void;
  readonly answer: (value: unknown, node: string) => void;
}

/** Requests to other nodes that are still open. */
export class Requests {
  readonly #clock: Clock;
  readonly #open = new Map<number, Listener>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Opens a request that ends by itself after `timeout` ms. Returns its number. */
  open(listener: Listener, timeout: number): number {
    const request = ++this.#last;
    this.#open.set(request, listener);
    this.#clock.after(timeout, () => this.#open.delete(request));
    return request;
  }

  /** Sends a request and waits for one answer of each of `nodes`. Rejects with {@link MissingAnswers} after `timeout` ms. */
  async gather(nodes: Set<string>, timeout: number, send: (request: number) => void): Promise<unknown[]> {
    if (nodes.size === 0) return [];
    const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
    const answers: unknown[] = [];
    const request = ++this.#last;
    this.#open.set(request, {
      answer: (value, node) => {
        if (nodes.delete(node)) answers.push(value);
        if (nodes.size === 0) resolve(answers);
      },
    });
    const cancel = this.#clock.after(timeout, () => reject(new MissingAnswers(nodes.size, answers)));
    send(request);
    return promise.finally(() => {
      cancel();
      this.#open.delete(request);
    });
  }

  /** Undefined when the request has ended. */
  get(request: number): Listener | undefined {
    return this.#open.get(request);
  }
}
