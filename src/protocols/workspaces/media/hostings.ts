import { and, eq, inArray, isNull, lt, notExists, notInArray, or } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database, Orm } from "../../../database/database.ts";
import type { Seal } from "../seal.ts";
import type { Rooms } from "./janus/rooms.ts";
import { readable, unreadable } from "./readable.ts";
import { mediaGrants, mediaHostings } from "./tables.ts";

/** Rooms of a channel on a server. */
export interface Hosting extends Rooms {
  readonly server: string;
  /** Null while the rooms are made for the first time. */
  readonly madeAt: Date | null;
  /** Whether a node was at restoring or destroying the rooms when this was read. */
  readonly leased: boolean;
}

type Row = typeof mediaHostings.$inferSelect;

/** Milliseconds a node has for restoring or destroying the rooms of a channel; then another one takes over. */
const LEASE = 20_000;

/** Which rooms stand on which server. A hosting is open while somebody is in the conversation, then closing, then gone. */
export class Hostings {
  readonly #database: Database;
  readonly #seal: Seal;
  readonly #clock: Clock;

  constructor(parts: { database: Database; seal: Seal; clock: Clock }) {
    this.#database = parts.database;
    this.#seal = parts.seal;
    this.#clock = parts.clock;
  }

  /** The open hosting of a channel, held until the end of the transaction. */
  async hold(tx: Orm, channelId: string): Promise<Hosting | null> {
    const open = and(eq(mediaHostings.channelId, channelId), eq(mediaHostings.state, "open"));
    const rows = await tx.select().from(mediaHostings).where(open).for("update");
    const [hosting] = readable(rows, (row) => this.#plain(row));
    // Rooms whose secret nobody can open any more cannot be used or destroyed: they count as gone.
    if (!hosting && rows.length > 0) await tx.delete(mediaHostings).where(open);
    return hosting ?? null;
  }

  /**
   * Opens a hosting; null while another node destroys the channel's former rooms on that server.
   *
   * @param stale whether `restore` is to make the rooms, not the caller
   */
  async open(tx: Orm, rooms: Rooms & { readonly server: string }, stale: boolean): Promise<Hosting | null> {
    const { channelId, room, server } = rooms;
    const state = { state: "open" as const, stale, madeAt: null, leasedUntil: null };
    const fresh = { channelId, room, server, secret: this.#seal.seal(rooms.secret), ...state };
    const [row] = await tx
      .insert(mediaHostings)
      .values(fresh)
      .onConflictDoUpdate({
        target: [mediaHostings.channelId, mediaHostings.server],
        set: fresh,
        setWhere: and(eq(mediaHostings.state, "closing"), this.#free()),
      })
      .returning();
    return row ? this.#plain(row) : null;
  }

  /**
   * Nobody is in the conversation any more: its rooms are to be destroyed. True when the caller is to do it, within the
   * lease; false when a node is still at restoring them, so that whoever comes next does it.
   */
  async close(tx: Orm, { channelId, server, leased }: Hosting): Promise<boolean> {
    const lease = leased ? {} : { leasedUntil: this.#lease() };
    await tx
      .update(mediaHostings)
      .set({ state: "closing", ...lease })
      .where(this.#is(channelId, server));
    return !leased;
  }

  /** The conversation moves: its rooms here are to be destroyed once the server is up again. */
  async abandon(tx: Orm, { channelId, server }: Hosting): Promise<void> {
    const closing = { state: "closing" as const, leasedUntil: null };
    await tx.update(mediaHostings).set(closing).where(this.#is(channelId, server));
  }

  /** The rooms are destroyed. */
  async forget({ channelId, server }: Hosting): Promise<void> {
    const closing = and(this.#is(channelId, server), eq(mediaHostings.state, "closing"));
    await this.#database.orm.delete(mediaHostings).where(closing);
  }

  /** Rooms that are to be destroyed and that no node is at; they are the caller's for the lease. */
  claimClosing(servers: readonly string[], limit: number): Promise<Hosting[]> {
    return this.#claim(servers, eq(mediaHostings.state, "closing"), limit);
  }

  /** Rooms that may be gone and that no node is at; they are the caller's for the lease. */
  claimStale(servers: readonly string[], limit: number): Promise<Hosting[]> {
    return this.#claim(servers, and(eq(mediaHostings.state, "open"), eq(mediaHostings.stale, true)), limit);
  }

  /** Gives up what was claimed, so that it is tried again. */
  async release({ channelId, server }: Hosting): Promise<void> {
    await this.#database.orm.update(mediaHostings).set({ leasedUntil: null }).where(this.#is(channelId, server));
  }

  /** The rooms are there, as far as one can know. */
  async made({ channelId, server }: Hosting, options: { restored: boolean }): Promise<void> {
    const madeAt = new Date(this.#clock.now());
    const values = options.restored ? { madeAt, stale: false, leasedUntil: null } : { madeAt };
    await this.#database.orm.update(mediaHostings).set(values).where(this.#is(channelId, server));
  }

  /** The rooms were found missing. False when that is known, or they have been made again since `seenAt`. */
  async markStale({ channelId, server }: Hosting, seenAt: Date): Promise<boolean> {
    const unchanged = and(
      this.#is(channelId, server),
      lt(mediaHostings.madeAt, seenAt),
      eq(mediaHostings.stale, false),
    );
    const marked = await this.#database.orm.update(mediaHostings).set({ stale: true }).where(unchanged).returning();
    return marked.length > 0;
  }

  /** All open hostings of a server. */
  async on(server: string): Promise<Hosting[]> {
    const open = and(eq(mediaHostings.server, server), eq(mediaHostings.state, "open"));
    return readable(await this.#database.orm.select().from(mediaHostings).where(open), (row) => this.#plain(row));
  }

  /** One hosting; null when it is gone. */
  async find(channelId: string, server: string): Promise<Hosting | null> {
    const rows = await this.#database.orm.select().from(mediaHostings).where(this.#is(channelId, server));
    return readable(rows, (row) => this.#plain(row))[0] ?? null;
  }

  /** Servers outside `known` that conversations are said to be on. */
  async strangers(known: readonly string[]): Promise<string[]> {
    const rows = await this.#database.orm
      .selectDistinct({ server: mediaHostings.server })
      .from(mediaHostings)
      .where(eq(mediaHostings.state, "open"));
    return rows.map(({ server }) => server).filter((server) => !known.includes(server));
  }

  /**
   * Drops, once their tokens are dropped, what cannot be destroyed: rooms on servers that are not in the settings any
   * more, and those whose secret was sealed with a key that is not (W-14.11).
   */
  async purge(known: readonly string[]): Promise<void> {
    const { orm } = this.#database;
    const tokens = orm
      .select({ id: mediaGrants.id })
      .from(mediaGrants)
      .where(and(eq(mediaGrants.channelId, mediaHostings.channelId), eq(mediaGrants.server, mediaHostings.server)));
    const gone = and(eq(mediaHostings.state, "closing"), notInArray(mediaHostings.server, [...known]));
    await orm.delete(mediaHostings).where(and(gone, notExists(tokens)));
    const rows = await orm.select().from(mediaHostings).where(notExists(tokens));
    for (const { channelId, server, secret } of unreadable(rows, (row) => this.#plain(row))) {
      await orm.delete(mediaHostings).where(and(this.#is(channelId, server), eq(mediaHostings.secret, secret)));
    }
  }

  async #claim(servers: readonly string[], which: ReturnType<typeof and>, limit: number): Promise<Hosting[]> {
    if (servers.length === 0) return [];
    return this.#database.orm.transaction(async (tx) => {
      const rows = await tx
        .select()
        .from(mediaHostings)
        .where(and(inArray(mediaHostings.server, [...servers]), which, this.#free()))
        .limit(limit)
        .for("update", { skipLocked: true });
      for (const { channelId, server } of rows) {
        await tx.update(mediaHostings).set({ leasedUntil: this.#lease() }).where(this.#is(channelId, server));
      }
      return readable(rows, (row) => this.#plain(row));
    });
  }

  #is(channelId: string, server: string) {
    return and(eq(mediaHostings.channelId, channelId), eq(mediaHostings.server, server));
  }

  #free() {
    return or(isNull(mediaHostings.leasedUntil), lt(mediaHostings.leasedUntil, new Date(this.#clock.now())));
  }

  #lease(): Date {
    return new Date(this.#clock.now() + LEASE);
  }

  #plain({ channelId, server, room, secret, madeAt, leasedUntil }: Row): Hosting {
    const leased = leasedUntil !== null && leasedUntil.getTime() >= this.#clock.now();
    return { channelId, server, room, secret: this.#seal.open(secret), madeAt, leased };
  }
}
