import { setTimeout as sleep } from "node:timers/promises";
import type { Cancel, Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import type { Timers } from "../backplane.ts";
import { closingPatience, retryPause, type TimerHandler, TimerHandlers } from "../timer-handlers.ts";

/** The longest wait setTimeout takes; it would fire at once for more. */
const longestWait = 2 ** 31 - 1;

interface Entry {
  readonly kind: string;
  readonly id: string;
  at: number;
  readonly payload: string;
  firing: boolean;
  /** What was asked for while it fired: set anew, or not to be tried again. */
  next: { at: number; payload: string } | "cancelled" | null;
  disarm: Cancel;
}

function isToFire(entry: Entry | undefined): boolean {
  if (!entry?.firing) return entry !== undefined;
  return entry.next !== null && entry.next !== "cancelled";
}

/** Timers of a lone node; they end with the process. */
export class MemoryTimers implements Timers {
  readonly #clock: Clock;
  readonly #handlers: TimerHandlers;
  readonly #entries = new Map<string, Map<string, Entry>>();
  /** Due entries that wait for a handler or for a free place, by kind. */
  readonly #due = new Map<string, Entry[]>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#handlers = new TimerHandlers(log);
  }

  async set(kind: string, id: string, at: number, payload: string): Promise<void> {
    const entry = this.#entries.get(kind)?.get(id);
    if (entry?.firing) entry.next = { at, payload };
    else this.#put(kind, id, at, payload);
  }

  async cancel(kind: string, id: string): Promise<boolean> {
    const entry = this.#entries.get(kind)?.get(id);
    if (entry === undefined) return false;
    if (!entry.firing) {
      this.#drop(entry);
      return true;
    }
    const wasSetAnew = isToFire(entry);
    entry.next = "cancelled";
    return wasSetAnew;
  }

  async pending(kind: string, ids: Iterable<string>): Promise<Set<string>> {
    const entries = this.#entries.get(kind);
    return new Set([...ids].filter((id) => isToFire(entries?.get(id))));
  }

  handle(kind: string, handler: TimerHandler): () => void {
    const remove = this.#handlers.set(kind, handler);
    this.#fire(kind);
    return remove;
  }

  /** Fires no more; what runs may end. */
  async close(): Promise<void> {
    for (const entries of this.#entries.values()) for (const entry of entries.values()) entry.disarm();
    this.#entries.clear();
    this.#due.clear();
    await Promise.race([this.#handlers.settled(), sleep(closingPatience, undefined, { ref: false })]);
  }

  #put(kind: string, id: string, at: number, payload: string): void {
    const entries = this.#entries.get(kind) ?? new Map<string, Entry>();
    this.#entries.set(kind, entries);
    entries.get(id)?.disarm();
    const entry: Entry = { kind, id, at, payload, firing: false, next: null, disarm: () => {} };
    entries.set(id, entry);
    this.#arm(entry);
  }

  #drop(entry: Entry): void {
    entry.disarm();
    const entries = this.#entries.get(entry.kind);
    if (entries?.get(entry.id) === entry) entries.delete(entry.id);
  }

  #arm(entry: Entry): void {
    const wait = Math.min(Math.max(0, entry.at - this.#clock.now()), longestWait);
    entry.disarm = this.#clock.after(wait, () => {
      if (entry.at > this.#clock.now()) return this.#arm(entry);
      const due = this.#due.get(entry.kind) ?? [];
      this.#due.set(entry.kind, due);
      due.push(entry);
      this.#fire(entry.kind);
    });
  }

  #fire(kind: string): void {
    const due = this.#due.get(kind) ?? [];
    while (due.length > 0 && this.#handlers.free(kind) > 0) {
      const entry = due.shift()!;
      // Cancelled or moved since it fell due.
      if (this.#entries.get(kind)?.get(entry.id) !== entry) continue;
      void this.#run(entry);
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { kind, id, payload } = entry;
    entry.firing = true;
    const done = await this.#handlers.run(kind, id, payload);
    entry.firing = false;
    if (this.#entries.get(kind)?.get(id) === entry) {
      const { next } = entry;
      if (next !== null && next !== "cancelled") this.#put(kind, id, next.at, next.payload);
      else if (done || next === "cancelled") this.#drop(entry);
      else {
        entry.at = this.#clock.now() + retryPause;
        this.#arm(entry);
      }
    }
    this.#fire(kind);
  }
}
