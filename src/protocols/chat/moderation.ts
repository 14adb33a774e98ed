import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { Semaphore } from "../../semaphore.ts";
import type { Counters } from "./counters.ts";

/** What the hook answers. */
const Answer = v.object({ allowed: v.boolean() });

/** Questions under way at once, and how many may wait for their turn. */
const CONCURRENCY = 64;
const MAX_WAITING = 1_000;

/** What is known of a message when the hook was asked. */
export type Verdict = "allowed" | "refused" | "unchecked";

/** Asks a hook about messages (C-4.16, C-4.17). */
export class Moderation {
  readonly #options: { readonly url: string; readonly token: string | undefined; readonly timeout: number };
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #turns: Semaphore;

  /** `timeout` in milliseconds. */
  constructor(
    options: { url: string; token?: string | undefined; timeout: number },
    parts: { counters: Counters; clock: Clock; log: Log },
  ) {
    this.#options = { ...options, token: options.token };
    this.#counters = parts.counters;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#turns = new Semaphore({
      permits: CONCURRENCY,
      maxWaiting: MAX_WAITING,
      patience: options.timeout,
      refusal: () => new Error("too many messages wait for the moderation hook"),
    });
  }

  /** Never rejects. */
  async ask(question: { room_id: number; sender_id: string; message: string }): Promise<Verdict> {
    const late = new AbortController();
    const stop = this.#clock.after(this.#options.timeout, () => late.abort(new Error("no answer in time")));
    let verdict: Verdict = "unchecked";
    try {
      verdict = (await this.#turns.run(() => this.#post(question, late.signal))) ? "allowed" : "refused";
    } catch (error) {
      this.#log.warn({ error }, "the moderation hook did not answer");
    } finally {
      stop();
    }
    this.#counters.moderated(verdict);
    return verdict;
  }

  async #post(question: object, signal: AbortSignal): Promise<boolean> {
    const { url, token } = this.#options;
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(question),
      redirect: "error",
      signal,
    });
    if (response.status !== 200) throw new Error(`the moderation hook answered ${response.status}`);
    return v.parse(Answer, await response.json()).allowed;
  }
}
