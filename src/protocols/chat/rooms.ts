import { and, arrayContains, asc, eq, isNull, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { errors } from "./errors.ts";
import { messages, rooms } from "./tables.ts";

/** A room without its messages. Participants stand in order of joining. */
export type Room = typeof rooms.$inferSelect;

/** What `PUT /rooms` asks for. */
export interface Change {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];

/** Makes, changes and removes rooms (section 3). Nobody learns of a room he is not in: it is `room_not_found`. */
export class Rooms {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #options: { readonly maxParticipants: number; readonly dedupe: boolean };

  constructor(parts: { database: Database; clock: Clock }, options: { maxParticipants: number; dedupe: boolean }) {
    this.#database = parts.database;
    this.#clock = parts.clock;
    this.#options = options;
  }

  /**
   * The id of a room of the caller with these users: a new one, or the oldest that is just like it (C-3.13 to C-3.15).
   * Throws `too_many_participants`.
   */
  async open(caller: string, users: readonly string[], apartmentId: number | null): Promise<number> {
    const participants = [...new Set([caller, ...users])];
    this.#limit(participants);
    const room = { ownerId: caller, apartmentId, participants, createdAt: new Date(this.#clock.now()) };
    const { orm } = this.#database;
    if (!this.#options.dedupe) return await create(orm, room);
    return await orm.transaction(async (tx) => {
      // Two calls for the same people wait for each other; the second one finds the room of the first.
      const key = JSON.stringify([participants.toSorted(), apartmentId]);
      await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`);
      return (await alike(tx, room)) ?? (await create(tx, room));
    });
  }

  /** Adds and removes participants, all or nothing (C-3.23 to C-3.25). Throws `room_not_found`, `not_owner`, `too_many_participants`. */
  async change(caller: string, id: number, { add, remove }: Change): Promise<void> {
    await this.#database.orm.transaction(async (tx) => {
      const room = await locked(tx, caller, id);
      const leaves = add.length === 0 && remove.length === 1 && remove[0] === caller;
      if (room.ownerId !== caller && !leaves) throw errors.fault("not_owner");
      const left = room.participants.filter((user) => !remove.includes(user));
      const participants = [...new Set([...left, ...add])];
      if (participants.length > room.participants.length) this.#limit(participants);
      const [eldest] = participants;
      if (eldest === undefined) return await removeRoom(tx, id);
      const ownerId = participants.includes(room.ownerId) ? room.ownerId : eldest;
      await tx.update(rooms).set({ participants, ownerId }).where(eq(rooms.id, id));
    });
  }

  /** Removes a room with everything in it (C-3.27). Throws `room_not_found`, `not_owner`. */
  async remove(caller: string, id: number): Promise<void> {
    await this.#database.orm.transaction(async (tx) => {
      const room = await locked(tx, caller, id);
      if (room.ownerId !== caller) throw errors.fault("not_owner");
      await removeRoom(tx, id);
    });
  }

  #limit(participants: readonly string[]): void {
    if (participants.length > this.#options.maxParticipants) throw errors.fault("too_many_participants");
  }
}

async function create(orm: Orm | Transaction, room: Omit<Room, "id">): Promise<number> {
  const [row] = await orm.insert(rooms).values(room).returning({ id: rooms.id });
  return row!.id;
}

/** The oldest room with exactly these participants and this apartment. */
async function alike(tx: Transaction, { participants, apartmentId }: Omit<Room, "id">): Promise<number | undefined> {
  const [room] = await tx
    .select({ id: rooms.id })
    .from(rooms)
    .where(
      and(
        arrayContains(rooms.participants, participants),
        eq(sql`cardinality(${rooms.participants})`, participants.length),
        apartmentId === null ? isNull(rooms.apartmentId) : eq(rooms.apartmentId, apartmentId),
      ),
    )
    .orderBy(asc(rooms.id))
    .limit(1);
  return room?.id;
}

/** The room, which nobody else changes or sends to until the transaction ends. */
async function locked(tx: Transaction, caller: string, id: number): Promise<Room> {
  const [room] = await tx.select().from(rooms).where(eq(rooms.id, id)).for("update");
  if (!room?.participants.includes(caller)) throw errors.fault("room_not_found");
  return room;
}

/** Removes a room whose row is locked, so that no message can come in between. */
async function removeRoom(tx: Transaction, id: number): Promise<void> {
  await tx.delete(messages).where(eq(messages.roomId, id));
  await tx.delete(rooms).where(eq(rooms.id, id));
}
