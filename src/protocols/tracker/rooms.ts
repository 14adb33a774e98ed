import { randomBytes, randomInt } from "node:crypto";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import { errors } from "./errors.ts";
import { limitFault } from "./limits.ts";

/** PINs tried for one room (T-6.2). */
const ATTEMPTS = 50;

/** One life of a PIN. */
export interface Room {
  readonly pin: string;
  /** Unique mark of this life: a later room with the same PIN has another one (T-6.6). */
  readonly instance: string;
  /** Epoch milliseconds. */
  readonly expires: number;
}

/** A room as its record tells it, at the moment of reading. */
export interface StoredRoom {
  readonly room: Room;
  /** A member asked for more than the original sends (T-10.2). */
  readonly detailed: boolean;
  /** T-4.6: has this account joined? */
  recorded(account: string): boolean;
  /** The record's fields as they are. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Field of a room's record that says an account is recorded with it. */
export const seatField = (account: string) => `in:${account}`;
/** Field of a room's record that holds an account's last position. */
export const positionField = (account: string) => `at:${account}`;

/** True for what can name a room (T-4.1). */
export const isPin = (id: string) => /^\d{6}$/.test(id);

/**
 * The rooms of all nodes, one record each, under the PIN. Everything a room knows is a field of that record and so ends
 * with it; nothing written late can bring it back, nor reach the next room of the same PIN.
 */
export class Rooms {
  readonly #backplane: Backplane;
  readonly #clock: Clock;
  readonly #options: { readonly ttl: number; readonly maxPerOwner: number };

  constructor(parts: { backplane: Backplane; clock: Clock }, options: { ttl: number; maxPerOwner: number }) {
    this.#backplane = parts.backplane;
    this.#clock = parts.clock;
    this.#options = options;
  }

  /**
   * Opens a room under a free PIN (T-6.1..T-6.4). Throws `rate_limit_exceeded` when the owner has as many as he may,
   * `service_unavailable` when no PIN was free.
   */
  async open(owner: string): Promise<Room> {
    const { ttl, maxPerOwner } = this.#options;
    const { records, tallies } = this.#backplane;
    const instance = randomBytes(9).toString("base64url");
    const owned = `tracker:rooms:${owner}`;
    // When the oldest of his rooms ends is not known here; a whole life of a room is surely enough.
    if (!(await tallies.hold(owned, instance, maxPerOwner, ttl))) throw limitFault(ttl);
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const room = { pin: String(randomInt(100_000, 1_000_000)), instance, expires: this.#clock.now() + ttl };
        const fields = { owner, instance, expires: String(room.expires) };
        if (await records.create(key(room.pin), fields, ttl)) return room;
      }
    } catch (error) {
      await tallies.release(owned, instance);
      throw error;
    }
    await tallies.release(owned, instance);
    throw errors.fault("service_unavailable");
  }

  /** The living room of a PIN. */
  async find(pin: string): Promise<StoredRoom | null> {
    return this.#stored(pin, await this.#backplane.records.read(key(pin)));
  }

  /** Records the account with the living room of a PIN and returns that room; null when there is none. */
  async admit(pin: string, account: string): Promise<StoredRoom | null> {
    const { records } = this.#backplane;
    const [alive, fields] = await Promise.all([
      records.update(key(pin), { [seatField(account)]: "1" }),
      records.read(key(pin)),
    ]);
    return alive ? this.#stored(pin, fields) : null;
  }

  /** Sets or removes (null) fields of a room's record; false when that room has ended. */
  async write(room: Room, fields: Record<string, string | null>): Promise<boolean> {
    return await this.#backplane.records.update(key(room.pin), fields, { instance: room.instance });
  }

  #stored(pin: string, fields: Record<string, string> | null): StoredRoom | null {
    const expires = Number(fields?.expires);
    if (!fields?.instance || !(expires > this.#clock.now())) return null;
    return {
      room: { pin, instance: fields.instance, expires },
      detailed: fields.detailed !== undefined,
      recorded: (account) => fields[seatField(account)] !== undefined,
      fields,
    };
  }
}

const key = (pin: string) => `tracker:room:${pin}`;
