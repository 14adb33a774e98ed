import * as v from "valibot";
import { type PluginKey, pluginKeys, plugins } from "./plugins.ts";
import { type ControlSession, PluginRefusal } from "./session.ts";

/** The three rooms of a channel: one number, one secret (W-10.1). */
export interface Rooms {
  readonly channelId: string;
  readonly room: number;
  /** 50 hex characters; plain. */
  readonly secret: string;
}

/** At least one of the three rooms is not there (W-10.16). */
export class NoSuchRoom extends Error {
  override readonly name = "NoSuchRoom";
}

/** Keys by which the plugins let rooms be made. */
export type RoomKeys = Readonly<Record<PluginKey, string>>;

const Participants = v.looseObject({
  participants: v.array(v.looseObject({ id: v.number(), display: v.optional(v.string()) })),
});

/** Where people of a conversation are heard and seen; the others are not kicked from text (W-10.18). */
const occupied: readonly PluginKey[] = ["audiobridge", "videoroom"];

/**
 * The rooms of channels on one server. Each method asks all plugins at once and waits for all of them, so that nothing is
 * under way any more when it throws: `JanusAway`, `JanusRefusal`, `PluginRefusal`, {@link NoSuchRoom}.
 */
export class RoomDesk {
  readonly #session: ControlSession;
  readonly #keys: RoomKeys;

  constructor(session: ControlSession, keys: RoomKeys) {
    this.#session = session;
    this.#keys = keys;
  }

  /** Makes the rooms that are not there (W-10.9). Whether those that are there are ours, `allow` finds out (W-10.16). */
  async create(rooms: Rooms): Promise<void> {
    await each(pluginKeys, async (plugin) => {
      const { extras, exists } = plugins[plugin];
      const request = {
        ...manage("create", rooms),
        description: rooms.channelId,
        permanent: false,
        is_private: true,
        admin_key: this.#keys[plugin],
        allowed: [],
        ...extras,
      };
      await unless(exists, this.#session.message(plugin, request));
    });
  }

  /** Lets people with these tokens join (W-10.11). Throws {@link NoSuchRoom}. */
  async allow(rooms: Rooms, tokens: readonly string[]): Promise<void> {
    const present = await each(pluginKeys, (plugin) => this.#allowed(plugin, rooms, "add", tokens));
    if (present.includes(false)) throw new NoSuchRoom(`a room of number ${rooms.room} is not there`);
  }

  /** Takes tokens back (W-10.13); where there is no room there are none. */
  async disallow(rooms: Rooms, tokens: readonly string[]): Promise<void> {
    await each(pluginKeys, (plugin) => this.#allowed(plugin, rooms, "remove", tokens));
  }

  /** Destroys the rooms that are there (W-10.14). */
  async destroy(rooms: Rooms): Promise<void> {
    await each(pluginKeys, (plugin) => {
      const request = { ...manage("destroy", rooms), permanent: false };
      return unless(plugins[plugin].noSuchRoom, this.#session.message(plugin, request));
    });
  }

  /** Whether all three rooms are there. */
  async exist({ room }: Rooms): Promise<boolean> {
    const answers = await each(pluginKeys, (plugin) => this.#session.message(plugin, { request: "exists", room }));
    return answers.every(({ exists }) => exists === true);
  }

  /** Removes every participant that shows itself as this user (W-10.18). */
  async kick(rooms: Rooms, userId: string): Promise<void> {
    await each(occupied, async (plugin) => {
      const listing = this.#session.message(plugin, manage("listparticipants", rooms));
      const listed = await unless(plugins[plugin].noSuchRoom, listing);
      if (!listed) return;
      for (const { id, display } of v.parse(Participants, listed).participants) {
        // Who is gone by now, or whose room is, needs no kick.
        if (display === userId) {
          await this.#session.message(plugin, { ...manage("kick", rooms), id }).catch(ignoreRefusal);
        }
      }
    });
  }

  /** False when there is no room. */
  async #allowed(plugin: PluginKey, rooms: Rooms, action: "add" | "remove", allowed: readonly string[]) {
    const request = { ...manage("allowed", rooms), action, allowed };
    return (await unless(plugins[plugin].noSuchRoom, this.#session.message(plugin, request))) !== null;
  }
}

/** The answer, or null for a refusal with this code. */
async function unless<T>(code: number, asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof PluginRefusal && error.code === code) return null;
    throw error;
  }
}

function manage(request: string, { room, secret }: Rooms) {
  return { request, room, secret };
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof PluginRefusal)) throw error;
}

async function each<T>(keys: readonly PluginKey[], ask: (plugin: PluginKey) => Promise<T>): Promise<T[]> {
  const settled = await Promise.allSettled(keys.map(ask));
  return settled.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
