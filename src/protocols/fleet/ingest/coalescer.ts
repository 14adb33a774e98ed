import type { Cancel, Clock } from "../../../clock.ts";
import type { Fanout } from "../fanout.ts";
import { recordsFrame } from "../frames.ts";
import type { Entries } from "./entries.ts";
import type { Report } from "./report.ts";

/** Frames of a unit that wait for more reports. */
interface Waiting {
  total: number;
  /** Time and JSON of the newest record. */
  newest: { readonly tmx: number; readonly body: string };
  readonly events: string[];
  readonly cancel: Cancel;
}

/** Sends what was committed to its watchers; with a time to wait, HTTP reports of a unit make one `records` frame. */
export class Coalescer {
  readonly #fanout: Fanout;
  readonly #clock: Clock;
  readonly #wait: number;
  readonly #waiting = new Map<number, Waiting>();

  constructor({ fanout, clock }: { fanout: Fanout; clock: Clock }, wait: number) {
    this.#fanout = fanout;
    this.#clock = clock;
    this.#wait = wait;
  }

  send({ uid, http }: Report, entries: Entries, frames: readonly string[]): void {
    if (frames.length === 0) return;
    if (this.#wait === 0 || !http || entries.newest === null) {
      this.#flush(uid);
      for (const frame of frames) this.#fanout.toUnit(uid, frame);
      return;
    }
    const tmx = Math.max(...entries.records.map((record) => record.tmx));
    const waiting = this.#waiting.get(uid) ?? this.#begin(uid, { tmx, body: entries.newest });
    waiting.total += entries.records.length;
    if (tmx >= waiting.newest.tmx) waiting.newest = { tmx, body: entries.newest };
    waiting.events.push(...frames.slice(1));
  }

  /** Sends what waits, before the node stops. */
  flushAll(): void {
    for (const uid of [...this.#waiting.keys()]) this.#flush(uid);
  }

  #begin(uid: number, newest: Waiting["newest"]): Waiting {
    const cancel = this.#clock.after(this.#wait, () => this.#flush(uid));
    const waiting: Waiting = { total: 0, newest, events: [], cancel };
    this.#waiting.set(uid, waiting);
    return waiting;
  }

  #flush(uid: number): void {
    const waiting = this.#waiting.get(uid);
    if (!waiting) return;
    this.#waiting.delete(uid);
    waiting.cancel();
    this.#fanout.toUnit(uid, recordsFrame(uid, waiting.total, waiting.newest.body));
    for (const frame of waiting.events) this.#fanout.toUnit(uid, frame);
  }
}
