import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import type { Cancel, Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { BackplaneUnavailable, type Timers } from "../backplane.ts";
import { closingPatience, type TimerHandler, TimerHandlers } from "../timer-handlers.ts";
import type { Connection } from "./connection.ts";
import { inParts } from "./parts.ts";
import { scripts } from "./scripts.ts";
import type { RedisTimes } from "./times.ts";

/** Longest pause between two looks: another node may have set an earlier timer and died. */
const longestPause = 1_000;

const Claimed = v.pipe(v.array(v.union([v.number(), v.string()])), v.minLength(1));

/** A timer this node fires. */
interface Firing {
  readonly kind: string;
  readonly id: string;
  readonly claim: string;
  /** When to try again, "" for never, null while the handler runs. */
  again: number | "" | null;
}

/**
 * Timers in Redis. What is due is told by the clock of the node that fires, so that a handler never runs before its
 * time as it sees it itself; the clocks of the nodes need to agree to well within a claim.
 *
 * A timer is claimed while it fires and removed when its handler has resolved. A node that dies over it no longer makes
 * the claim last, and another one fires the timer again: handlers meet every timer at least once.
 */
export class RedisTimers implements Timers {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #times: RedisTimes;
  readonly #node: string;
  readonly #base: string;
  readonly #handlers: TimerHandlers;
  readonly #firing = new Set<Firing>();
  #claims = 0;
  #nextLook: { readonly at: number; readonly cancel: Cancel } | null = null;
  #looking = false;
  #lookAgain = false;
  #stopExtending: Cancel | null = null;
  #closed = false;

  constructor(
    connection: Connection,
    options: { node: string; keyPrefix: string; times: RedisTimes; clock: Clock; log: Log },
  ) {
    this.#connection = connection;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#times = options.times;
    this.#node = options.node;
    // One hash tag for all kinds, so that one look serves them all.
    this.#base = `${options.keyPrefix}{timers}:`;
    this.#handlers = new TimerHandlers(options.log);
    connection.onUp(() => this.#lookIn(0));
  }

  async set(kind: string, id: string, at: number, payload: string): Promise<void> {
    await this.#connection.eval(scripts.timerSet, this.#keys(kind), [id, at, payload]);
    if (this.#handlers.free(kind) > 0) this.#lookIn(at - this.#clock.now());
  }

  async cancel(kind: string, id: string): Promise<boolean> {
    return (await this.#connection.eval(scripts.timerCancel, this.#keys(kind), [id])) === 1;
  }

  async pending(kind: string, ids: Iterable<string>): Promise<Set<string>> {
    const asked = [...new Set(ids)];
    const toFire = await inParts(asked, async (part) =>
      v.parse(v.array(v.number()), await this.#connection.eval(scripts.timerPending, this.#keys(kind), part)),
    );
    return new Set(asked.filter((_, index) => toFire[index] === 1));
  }

  handle(kind: string, handler: TimerHandler): () => void {
    const remove = this.#handlers.set(kind, handler);
    this.#lookIn(0);
    return remove;
  }

  /** Fires no more. A handler that runs may end; one that takes too long fires again on another node. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#nextLook?.cancel();
    await Promise.race([this.#handlers.settled(), sleep(closingPatience, undefined, { ref: false })]);
    this.#stopExtending?.();
    await this.#reportEnded();
  }

  #keys(kind: string): [due: string, state: string] {
    return [`${this.#base}due:${kind}`, `${this.#base}state:${kind}`];
  }

  #lookIn(delay: number): void {
    const pause = Math.min(Math.max(0, delay), longestPause);
    const at = this.#clock.elapsed() + pause;
    if (this.#closed || (this.#nextLook !== null && this.#nextLook.at <= at)) return;
    this.#nextLook?.cancel();
    const look = () => {
      this.#nextLook = null;
      void this.#look();
    };
    if (pause > 0) {
      this.#nextLook = { at, cancel: this.#clock.after(pause, look) };
    } else {
      const turn = setImmediate(look);
      this.#nextLook = { at, cancel: () => clearImmediate(turn) };
    }
  }

  /** Claims what is due and fires it. Never rejects. */
  async #look(): Promise<void> {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    const kinds = this.#handlers.kinds();
    if (kinds.length === 0 || this.#closed) return;
    this.#looking = true;
    this.#lookAgain = false;
    let pause = longestPause;
    try {
      await this.#reportEnded();
      const wait = await this.#claim(kinds);
      if (wait >= 0) pause = wait;
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) this.#log.error({ err: error }, "looking for due timers failed");
    }
    this.#looking = false;
    this.#lookIn(this.#lookAgain ? 0 : pause);
  }

  /** Returns the milliseconds until the next timer is due, -1 when there is none. */
  async #claim(kinds: readonly string[]): Promise<number> {
    const claim = `${this.#node}:${++this.#claims}`;
    const free = kinds.map((kind) => this.#handlers.free(kind));
    const answer = await this.#connection.eval(
      scripts.timerClaim,
      kinds.flatMap((kind) => this.#keys(kind)),
      [this.#clock.now(), this.#times.claim, claim, ...free],
    );
    const [wait, ...claimed] = v.parse(Claimed, answer);
    for (let at = 0; at < claimed.length; at += 3) {
      void this.#fire(kinds[Number(claimed[at]) - 1]!, String(claimed[at + 1]), String(claimed[at + 2]), claim);
    }
    return Number(wait);
  }

  async #fire(kind: string, id: string, payload: string, claim: string): Promise<void> {
    const firing: Firing = { kind, id, claim, again: null };
    this.#firing.add(firing);
    this.#stopExtending ??= this.#clock.every(this.#times.claim / 3, () => void this.#extendClaims());
    const done = await this.#handlers.run(kind, id, payload);
    firing.again = done ? "" : this.#clock.now() + this.#times.retry;
    await this.#report(firing);
    this.#lookIn(0);
  }

  /** Tells the store how a firing ended. While the store is away the firing is kept, to be told when it is back. */
  async #report(firing: Firing): Promise<void> {
    const { kind, id, claim, again } = firing;
    try {
      await this.#connection.eval(scripts.timerFinish, this.#keys(kind), [id, claim, again ?? ""]);
    } catch (error) {
      if (error instanceof BackplaneUnavailable) return;
      this.#log.error({ err: error, kind }, "ending a timer failed, it will fire again");
    }
    this.#firing.delete(firing);
    if (this.#firing.size === 0) {
      this.#stopExtending?.();
      this.#stopExtending = null;
    }
  }

  async #reportEnded(): Promise<void> {
    await Promise.all([...this.#firing].filter(({ again }) => again !== null).map((firing) => this.#report(firing)));
  }

  async #extendClaims(): Promise<void> {
    const until = this.#clock.now() + this.#times.claim;
    for (const { kind, id, claim } of this.#firing) {
      try {
        await this.#connection.eval(scripts.timerExtend, this.#keys(kind), [id, claim, until]);
      } catch (error) {
        this.#log.debug({ err: error, kind }, "a timer's claim was not extended");
      }
    }
  }
}
