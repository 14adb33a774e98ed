import * as v from "valibot";
import type { Cancel, Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { isOutage } from "./errors.ts";
import { positionField, type Room, type Rooms, type StoredRoom, seatField } from "./rooms.ts";

/** Rest after writing, in milliseconds for each room written: at most a thousand writes a second. */
const REST_PER_ROOM = 1;
const MAX_REST = 2000;
/** Rest when the store is away. */
const OUTAGE_REST = 1000;

/** How long a written change is kept beside the store, for readers that asked just before it came there. */
const SENT_LIFE = 1;

/** Where an account was last seen in a room. */
export interface Position {
  readonly lat: number;
  readonly long: number;
  /** Epoch milliseconds; the fraction keeps positions of one millisecond in order. */
  readonly at: number;
  readonly username: string;
}

/** A position in its record field: no names, since there are many of them. */
const PositionText = v.pipe(
  v.string(),
  v.parseJson(),
  v.strictTuple([v.number(), v.number(), v.number(), v.string()]),
  v.transform(([lat, long, at, username]): Position => ({ lat, long, at, username })),
);

/** What still has to be written to a room's record; null removes a field. */
interface Pending {
  readonly room: Room;
  readonly fields: Map<string, Position | null>;
}

/** What must outlive a reload of the code. */
export interface PositionState {
  waiting: Map<string, Pending>;
  /** On their way to the store, or just there. */
  sent: Map<string, Pending>;
  lastAt: number;
}

export const newPositionState = (): PositionState => ({ waiting: new Map(), sent: new Map(), lastAt: 0 });

/**
 * Last positions by account and room, written behind: a move costs no trip to the store. While few rooms are on the
 * move a position is there within a few milliseconds; with a thousand rooms within a second, only the newest being
 * written; two seconds is the most. A killed process loses what was not written, a stopped one nothing.
 */
export class Positions {
  readonly #rooms: Rooms;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #state: PositionState;
  /** Ends the rest between two writes; null while none is due. */
  #rest: Cancel | null = null;
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(parts: { rooms: Rooms; clock: Clock; log: Log }, state: PositionState) {
    this.#rooms = parts.rooms;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#state = state;
  }

  /** A time for a new position, later than that of every other one of this node. */
  stamp(): number {
    this.#state.lastAt = Math.max(this.#clock.now(), this.#state.lastAt + 0.001);
    return this.#state.lastAt;
  }

  /** Keeps an account's newest position (T-4.14). */
  note(room: Room, account: string, position: Position): void {
    this.#pending(room).fields.set(positionField(account), position);
    this.#wake();
  }

  /** Removes an account's record and position (T-4.10); while the store is away as soon as it is back. */
  async forget(room: Room, account: string): Promise<void> {
    const fields = { [seatField(account)]: null, [positionField(account)]: null };
    for (const pending of this.#unwritten(room)) pending.fields.delete(positionField(account));
    try {
      await this.#rooms.write(room, fields);
    } catch (error) {
      if (!isOutage(error)) throw error;
      const pending = this.#pending(room);
      for (const field of Object.keys(fields)) pending.fields.set(field, null);
      this.#wake();
    }
  }

  /** True for an account whose removal still waits to be written. */
  forgotten(room: Room, account: string): boolean {
    return this.#unwritten(room).some((pending) => pending.fields.get(seatField(account)) === null);
  }

  /** The account has joined again: a removal that still waits is void. */
  remembered(room: Room, account: string): void {
    if (!this.forgotten(room, account)) return;
    for (const pending of this.#unwritten(room)) pending.fields.delete(seatField(account));
  }

  /** The newest position of another account than `account` (T-5.6, T-5.8). */
  newestOfOthers(stored: StoredRoom, account: string): Position | null {
    const unwritten = this.#unwritten(stored.room);
    const own = positionField(account);
    let newest: Position | null = null;
    const consider = (field: string, position: Position | null) => {
      if (position && field !== own && position.at > (newest?.at ?? 0)) newest = position;
    };
    for (const [field, text] of Object.entries(stored.fields)) {
      const removed = unwritten.some((pending) => pending.fields.get(field) === null);
      if (field.startsWith(positionField("")) && !removed) consider(field, read(text));
    }
    for (const pending of unwritten) {
      for (const [field, position] of pending.fields) consider(field, position);
    }
    return newest;
  }

  /** Writes everything that waits, then stops. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    this.#rest?.();
    this.#rest = null;
    await this.#write();
  }

  /** Changes of a room that the store may not have yet, older ones first. */
  #unwritten({ instance }: Room): Pending[] {
    const { sent, waiting } = this.#state;
    return [sent.get(instance), waiting.get(instance)].filter((pending) => pending !== undefined);
  }

  #pending(room: Room): Pending {
    let pending = this.#state.waiting.get(room.instance);
    if (!pending) {
      pending = { room, fields: new Map() };
      this.#state.waiting.set(room.instance, pending);
    }
    return pending;
  }

  /** The first change after a rest is written at once, those during writing and rest together afterwards. */
  #wake(): void {
    if (this.#rest || this.#writing || this.#closed) return;
    this.#writing = this.#write().then((rest) => {
      this.#writing = null;
      if (this.#closed) return;
      this.#rest = this.#clock.after(rest, () => {
        this.#rest = null;
        if (this.#state.waiting.size > 0) this.#wake();
      });
    });
  }

  /** Writes what waits; returns the milliseconds to rest afterwards. Never rejects. */
  async #write(): Promise<number> {
    const batch = this.#state.waiting;
    this.#state.waiting = new Map();
    this.#state.sent = batch;
    const results = await Promise.allSettled(
      Array.from(batch.values(), ({ room, fields }) => this.#rooms.write(room, Object.fromEntries(encoded(fields)))),
    );
    this.#clock.after(SENT_LIFE, () => batch.clear());
    const failed = results.find((result) => result.status === "rejected");
    if (!failed) return Math.min(MAX_REST, batch.size * REST_PER_ROOM);
    if (!isOutage(failed.reason)) this.#log.error({ error: failed.reason }, "writing positions failed");
    this.#takeBack(batch);
    return OUTAGE_REST;
  }

  /** Puts unwritten changes back, unless newer ones came or their room has ended; writing one twice does no harm. */
  #takeBack(batch: Map<string, Pending>): void {
    const now = this.#clock.now();
    for (const { room, fields } of batch.values()) {
      if (room.expires <= now) continue;
      const waiting = this.#pending(room).fields;
      for (const [field, value] of fields) {
        if (!waiting.has(field)) waiting.set(field, value);
      }
    }
  }
}

function* encoded(fields: Map<string, Position | null>): Iterable<[string, string | null]> {
  for (const [field, value] of fields) {
    yield [field, value && JSON.stringify([value.lat, value.long, value.at, value.username])];
  }
}

function read(text: string): Position | null {
  const result = v.safeParse(PositionText, text);
  return result.success ? result.output : null;
}
