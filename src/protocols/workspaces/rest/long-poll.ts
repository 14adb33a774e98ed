import * as v from "valibot";
import type { Clock } from "../../../clock.ts";
import type { Route } from "../../../http/routes.ts";
import { errors, InvalidInput } from "../errors.ts";
import type { Gate } from "./gate.ts";

/** Milliseconds an answer waits: what the client may ask for, at most. */
const Timeout = v.pipe(v.string(), v.regex(/^\d{1,5}$/), v.transform(Number), v.maxValue(30_000));
const DEFAULT_TIMEOUT = "5000";

/**
 * `GET /long-poll?timeout=<ms>`, by which the existing desktop client tells whether it is online: it asks again and again,
 * and makes no call at all while nothing answers. The answer is the caller's address, which changes with his network.
 */
export class LongPoll {
  readonly #clock: Clock;
  readonly #perAddress: number;
  /** Answers that wait, by address. */
  readonly #waiting = new Map<string, Set<() => void>>();

  /** @param options `perAddress` answers of one address may wait; further calls get 429 */
  constructor(parts: { clock: Clock }, options: { perAddress: number }) {
    this.#clock = parts.clock;
    this.#perAddress = options.perAddress;
  }

  route(gate: Gate): Route {
    return gate.get("/long-poll", "none", async (call) => {
      const timeout = v.safeParse(Timeout, call.query("timeout") ?? DEFAULT_TIMEOUT);
      if (!timeout.success) throw new InvalidInput("query", ["timeout"]);
      const { address } = call.context.env;
      await this.#wait(address, timeout.output, call.context.req.raw.signal);
      return address;
    });
  }

  /** Answers everybody; done when the answers have left. */
  async close(): Promise<void> {
    for (const answers of this.#waiting.values()) for (const answer of answers) answer();
    // They are written in this turn of the event loop: whoever closes the port next does not cut them off.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Also ends when the caller is gone. Throws `too_many_requests`. */
  async #wait(address: string, milliseconds: number, gone: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(address) ?? new Set();
    if (waiting.size >= this.#perAddress) throw errors.fault("too_many_requests", { retryAfter: 1 });
    if (milliseconds === 0) return;
    this.#waiting.set(address, waiting);
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.add(resolve);
    const cancel = this.#clock.after(milliseconds, resolve);
    gone.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    cancel();
    waiting.delete(resolve);
    if (waiting.size === 0) this.#waiting.delete(address);
  }
}
