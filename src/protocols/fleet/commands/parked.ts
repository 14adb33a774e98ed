import type { Records } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";

/** Commands that may wait for one unit. */
const SLOTS = 10;
/** How long a unit counts as one that reports by OsmAnd. */
const MEMORY = 7 * 86_400_000;

/** Commands that wait for the next OsmAnd report of their unit (F-12.45), on all nodes; off without a time to wait. */
export class Parked {
  readonly #records: Records;
  readonly #clock: Clock;
  readonly #ttl: number;

  constructor({ records, clock }: { records: Records; clock: Clock }, ttl: number) {
    this.#records = records;
    this.#clock = clock;
    this.#ttl = ttl;
  }

  /** Notes through which door a unit has just reported. */
  async reported(uid: number, byOsmAndQuery: boolean): Promise<void> {
    if (this.#ttl === 0) return;
    if (byOsmAndQuery) await this.#records.put(`fleet:osmand:${uid}`, { at: String(this.#clock.now()) }, MEMORY);
    else await this.#records.remove(`fleet:osmand:${uid}`);
  }

  /** Parks a command; false when the unit last came another way, or too many wait. */
  async put(uid: number, cmd: string): Promise<boolean> {
    if (this.#ttl === 0 || !(await this.#records.read(`fleet:osmand:${uid}`))) return false;
    const at = `${this.#clock.now()}`.padStart(16, "0");
    for (let slot = 0; slot < SLOTS; slot++) {
      if (await this.#records.create(slotOf(uid, slot), { cmd, at }, this.#ttl)) return true;
    }
    return false;
  }

  /** The command that waits longest; it waits no more. */
  async take(uid: number): Promise<string | null> {
    if (this.#ttl === 0) return null;
    let oldest: { slot: number; at: string } | null = null;
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = (await this.#records.read(slotOf(uid, slot)))?.at;
      if (at !== undefined && (oldest === null || at < oldest.at)) oldest = { slot, at };
    }
    return oldest && ((await this.#records.take(slotOf(uid, oldest.slot)))?.cmd ?? null);
  }
}

const slotOf = (uid: number, slot: number) => `fleet:parked:${uid}:${slot}`;
