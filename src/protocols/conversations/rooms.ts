import { eq } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import { errors } from "./errors.ts";
import type { Lookups } from "./lookups.ts";
import type { CreateRoom } from "./messages.ts";
import { record } from "./outbox.ts";
import { otherSide, personOn, type Side } from "./room-name.ts";
import { columnsOf, isVisible, type StoredRoom, stateOf } from "./side-state.ts";
import { rooms } from "./tables.ts";

/** How a wish for a room came out (V-3.31). */
export interface Creation {
  readonly outcome: "created" | "exists" | "restored";
  readonly room: StoredRoom;
}

/** The rooms, and what can be done to one besides writing in it. Every change holds the room's row (V-6.5). */
export class Rooms {
  readonly #orm: Orm;
  readonly #clock: Clock;
  readonly #lookups: Lookups;

  constructor(parts: { database: Database; clock: Clock; lookups: Lookups }) {
    this.#orm = parts.database.orm;
    this.#clock = parts.clock;
    this.#lookups = parts.lookups;
  }

  /** The room of this id, or null. */
  async find(id: string): Promise<StoredRoom | null> {
    const [room] = await this.#orm.select().from(rooms).where(eq(rooms.id, id));
    return room ?? null;
  }

  /** Makes a room unless it is there; one its creator had deleted is restored for both (V-3.31, V-3.32). */
  async create(wish: CreateRoom, creator: Side): Promise<Creation> {
    const id = `${wish.buyer}.${wish.seller}`;
    if (await this.find(id)) return this.#reuse(id, creator);
    const [buyerInfo, shop] = await Promise.all([this.#lookups.buyer(wish), this.#lookups.shop(wish.shop_id)]);
    const at = new Date(this.#clock.now());
    const { type, buyer, seller, shop_id: shopId, creator: by } = wish;
    const room = await this.#orm.transaction(async (tx) => {
      const [made] = await tx
        .insert(rooms)
        .values({ id, type, buyer, seller, shopId, creator: by, buyerInfo, shop, createdAt: at, updatedAt: at })
        .onConflictDoNothing()
        .returning();
      if (!made) return null;
      const data = { _id: id, type, buyer, seller, shop_id: shopId, creator: by, created_at: at.toISOString() };
      await record(tx, "room.created", id, data, at);
      return made;
    });
    return room ? { outcome: "created", room } : this.#reuse(id, creator);
  }

  /** Clears a side's deleted flag; its floor stays (V-6.8). Throws `ROOM_NOT_FOUND`. */
  enable(id: string, side: Side): Promise<StoredRoom> {
    return this.#change(id, async (tx) => {
      const updatedAt = new Date(this.#clock.now());
      return update(tx, id, { ...columnsOf(side, { deleted: false }), updatedAt });
    });
  }

  /** Pins or unpins for a side. Throws `ROOM_NOT_FOUND`. */
  pin(id: string, side: Side, pinned: boolean): Promise<StoredRoom> {
    return this.#change(id, async (tx) => {
      const pinnedAt = pinned ? new Date(this.#clock.now()) : null;
      return update(tx, id, columnsOf(side, { pinnedAt }));
    });
  }

  /**
   * Deletes a room for a side (V-6.7). `effective` is false when it was hidden already: then nothing has changed. Throws
   * `ROOM_NOT_FOUND`.
   */
  remove(id: string, side: Side): Promise<{ effective: boolean; deletedAt: Date }> {
    return this.#change(id, async (tx, room) => {
      const before = stateOf(room, side);
      if (before.deletedAt && !isVisible(room, side)) return { effective: false, deletedAt: before.deletedAt };
      const at = new Date(this.#clock.now());
      const deletedAt = room.lastCreatedAt && room.lastCreatedAt > at ? room.lastCreatedAt : at;
      const state = { deleted: true, deletedAt, lastMessageId: null, pinnedAt: null, unseen: 0 };
      await update(tx, id, columnsOf(side, state));
      const data = { _id: id, deletion_role: side, deleted_at: deletedAt.toISOString() };
      await record(tx, "room.deleted", id, data, at);
      return { effective: true, deletedAt };
    });
  }

  /**
   * Blocks a room for a side, or lifts its block (V-6.9). Throws `FORBIDDEN` while the other side holds one, and
   * `ROOM_NOT_FOUND`.
   */
  block(id: string, side: Side, blocked: boolean): Promise<StoredRoom> {
    return this.#change(id, async (tx, room) => {
      if (room.blockedBy === otherSide(side)) throw errors.fault("FORBIDDEN");
      if ((room.blockedBy === side) === blocked) return room;
      const data = {
        room_id: id,
        by: personOn(room, side),
        role: side,
        user_id: personOn(room, otherSide(side)),
        blocked,
      };
      await record(tx, "user.blocked", id, data, new Date(this.#clock.now()));
      return update(tx, id, { blockedBy: blocked ? side : null });
    });
  }

  /** A room that is there: visible again for both if its creator had deleted it. */
  #reuse(id: string, creator: Side): Promise<Creation> {
    return this.#change(id, async (tx, room): Promise<Creation> => {
      if (!stateOf(room, creator).deleted) return { outcome: "exists", room };
      const updatedAt = new Date(this.#clock.now());
      const restored = await update(tx, id, { buyerDeleted: false, sellerDeleted: false, updatedAt });
      return { outcome: "restored", room: restored };
    });
  }

  #change<T>(id: string, work: (tx: Orm, room: StoredRoom) => Promise<T>): Promise<T> {
    return this.#orm.transaction(async (tx) => work(tx, await held(tx, id)));
  }
}

/** The room with its row held until the transaction ends. Throws `ROOM_NOT_FOUND`. */
export async function held(tx: Orm, id: string): Promise<StoredRoom> {
  const [room] = await tx.select().from(rooms).where(eq(rooms.id, id)).for("update");
  if (!room) throw errors.fault("ROOM_NOT_FOUND");
  return room;
}

async function update(tx: Orm, id: string, columns: Partial<StoredRoom>): Promise<StoredRoom> {
  const [room] = await tx.update(rooms).set(columns).where(eq(rooms.id, id)).returning();
  return room!;
}
