import { type Database, DatabaseUnavailable } from "../../../database/database.ts";
import { afterPatience } from "../patience.ts";
import { connectionOptions } from "./connection-options.ts";
import type { Grants, TokenPair } from "./grants.ts";
import type { Hosting, Hostings } from "./hostings.ts";
import { JanusAway } from "./janus/call.ts";
import { NoSuchRoom } from "./janus/rooms.ts";
import type { JanusServer } from "./janus/server.ts";
import { type Grant, MediaUnavailable, type Seat } from "./media.ts";
import type { RoomNumber, RoomNumbers } from "./room-numbers.ts";
import type { ServerStates } from "./server-states.ts";
import { settle } from "./settle.ts";

/** Milliseconds one admission may take (W-10.17), by the system's clock. */
const PATIENCE = 10_000;
/** Milliseconds between two looks at rooms that another node is about to destroy. */
const PAUSE = 50;

export interface AdmissionParts {
  readonly database: Database;
  readonly servers: ReadonlyMap<string, JanusServer>;
  readonly states: ServerStates;
  readonly numbers: RoomNumbers;
  readonly hostings: Hostings;
  readonly grants: Grants;
  /** The rooms of a conversation were found missing. */
  readonly lost: (hosting: Hosting, seenAt: Date) => Promise<void>;
  /** Gives a grant back. */
  readonly leave: (grant: string) => void;
  /** A server did not answer. */
  readonly away: (server: JanusServer, reason: unknown) => void;
}

/** A place in a conversation, on record before any server hears of it. */
interface Place {
  readonly server: JanusServer;
  readonly hosting: Hosting;
  readonly pair: TokenPair;
  /** Whether the rooms are to be made first. */
  readonly fresh: boolean;
}

/** Lets connections into the rooms of a channel (W-10.11..W-10.19). */
export class Admission {
  readonly #parts: AdmissionParts;
  /** Rooms this node is making right now, by channel. */
  readonly #making = new Map<string, Promise<void>>();

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Throws {@link MediaUnavailable} and `DatabaseUnavailable`; then nothing is left behind, or it will be removed. */
  async admit(seat: Seat): Promise<Grant> {
    const late = Promise.withResolvers<never>();
    const cancel = afterPatience(PATIENCE, () => late.reject(new MediaUnavailable("media took too long")));
    const prepared = this.#prepare(seat, performance.now() + PATIENCE);
    try {
      return await Promise.race([prepared, late.promise]);
    } catch (error) {
      // What comes too late is given back.
      prepared.then(
        ({ id }) => id !== null && this.#parts.leave(id),
        () => {},
      );
      if (error instanceof MediaUnavailable || error instanceof DatabaseUnavailable) throw error;
      throw new MediaUnavailable("media could not be prepared", { cause: error });
    } finally {
      cancel();
    }
  }

  async #prepare(seat: Seat, deadline: number): Promise<Grant> {
    const place = await this.#takePlace(seat, deadline);
    const { server, hosting, pair } = place;
    try {
      await this.#introduce(place);
    } catch (error) {
      this.#parts.leave(pair.id);
      if (error instanceof JanusAway) this.#parts.away(server, error);
      throw error;
    }
    return { id: pair.id, options: connectionOptions(server.addresses, hosting, pair) };
  }

  async #takePlace(seat: Seat, deadline: number): Promise<Place> {
    await this.#parts.states.declare();
    const number = await this.#parts.numbers.of(seat.channelId);
    while (performance.now() < deadline) {
      const place = await this.#tryPlace(seat, number);
      if (place) return place;
      await Bun.sleep(PAUSE);
    }
    throw new MediaUnavailable("the channel's former rooms are still being destroyed");
  }

  /** Null while the channel's former rooms are being destroyed. */
  #tryPlace(seat: Seat, number: RoomNumber): Promise<Place | null> {
    const { database, servers, states, hostings, grants } = this.#parts;
    return database.orm.transaction(async (tx) => {
      let hosting = await hostings.hold(tx, seat.channelId);
      let fresh = false;
      if (!hosting) {
        const url = await states.choose(tx);
        if (url === undefined) throw new MediaUnavailable("no media server is up");
        // Another node may have opened one while this one waited for its choice.
        hosting = await hostings.hold(tx, seat.channelId);
        if (!hosting) {
          hosting = await hostings.open(tx, { ...number, channelId: seat.channelId, server: url }, false);
          fresh = true;
        }
      }
      if (!hosting) return null;
      const server = servers.get(hosting.server);
      if (!server || !(await states.isUp(hosting.server, tx))) {
        throw new MediaUnavailable("the conversation's media server is down");
      }
      return { server, hosting, pair: await grants.add(tx, seat, hosting.server), fresh };
    });
  }

  /** Makes the server and the rooms accept the tokens. */
  async #introduce({ server, hosting, pair, fresh }: Place): Promise<void> {
    const added = server.admin.addToken(pair.serverToken);
    await settle([added, this.#letIn(server, hosting, pair, fresh)]);
  }

  async #letIn(server: JanusServer, hosting: Hosting, pair: TokenPair, fresh: boolean): Promise<void> {
    if (fresh) await this.#make(server, hosting);
    else await this.#making.get(hosting.channelId);
    try {
      await server.rooms.allow(hosting, [pair.channelToken]);
    } catch (error) {
      if (!(error instanceof NoSuchRoom)) throw error;
      // Rooms that were there and are gone take everybody's tokens along: all of them are to be restored.
      if (hosting.madeAt) await this.#parts.lost(hosting, new Date(hosting.madeAt.getTime() + 1));
      await this.#make(server, hosting);
      await server.rooms.allow(hosting, [pair.channelToken]);
    }
  }

  /** Makes the rooms, once for all that ask meanwhile (W-8.4). Other nodes that ask find them there (W-10.16). */
  #make(server: JanusServer, hosting: Hosting): Promise<void> {
    const { channelId } = hosting;
    const underWay = this.#making.get(channelId);
    if (underWay) return underWay;
    const making = server.rooms
      .create(hosting)
      .then(() => this.#parts.hostings.made(hosting, { restored: false }))
      .finally(() => this.#making.delete(channelId));
    this.#making.set(channelId, making);
    return making;
  }
}
