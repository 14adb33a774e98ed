import * as v from "valibot";
import type { Records } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";

/** Tries to add to a note that others change at the same moment. */
const ATTEMPTS = 5;

/** A membership as a note names it: PIN and instance. */
export type RoomName = readonly [pin: string, instance: string];

export const RoomNames = v.array(v.strictTuple([v.string(), v.string()]));

/** What a lost socket leaves behind: its rooms, until a time (epoch milliseconds). */
const Note = v.pipe(v.string(), v.parseJson(), v.object({ until: v.number(), rooms: RoomNames }));

/**
 * Notes of lost sockets (T-10.1): the existing app never joins again after a network drop, so its next socket takes a
 * note over. One record an account, one field a lost socket: each note is taken once.
 */
export class Resumption {
  readonly #records: Records;
  readonly #clock: Clock;
  /** Milliseconds; 0 switches notes off. */
  readonly #life: number;

  constructor(parts: { records: Records; clock: Clock }, life: number) {
    this.#records = parts.records;
    this.#clock = parts.clock;
    this.#life = life;
  }

  /** Leaves a note of a lost connection. */
  async leave(account: string, connection: string, rooms: readonly RoomName[]): Promise<void> {
    if (this.#life === 0 || rooms.length === 0) return;
    let notes = { [connection]: JSON.stringify({ until: this.#clock.now() + this.#life, rooms }) };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await this.#records.create(key(account), notes, this.#life)) return;
      // Other notes of the account wait: taken out and put back with the new one, so that the new one lives its life.
      notes = { ...(await this.#records.take(key(account))), ...notes };
    }
  }

  /** Takes the oldest living note of the account; the rooms on it, or none. */
  async take(account: string): Promise<readonly RoomName[]> {
    if (this.#life === 0) return [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const [oldest] = this.#living(await this.#records.read(key(account)));
      if (!oldest) return [];
      const { field, text, rooms } = oldest;
      if (await this.#records.update(key(account), { [field]: null }, { [field]: text })) return rooms;
    }
    return [];
  }

  #living(fields: Record<string, string> | null) {
    return Object.entries(fields ?? {})
      .flatMap(([field, text]) => {
        const note = v.safeParse(Note, text);
        return note.success && note.output.until > this.#clock.now() ? [{ field, text, ...note.output }] : [];
      })
      .sort((a, b) => a.until - b.until);
  }
}

const key = (account: string) => `tracker:resume:${account}`;
