import * as v from "valibot";
import type { Present } from "../backplane.ts";
import type { Connection } from "./connection.ts";
import { inParts } from "./parts.ts";
import { scripts } from "./scripts.ts";

/** Connections handled in one step: few enough that no other command waits long for it. */
const batch = 100;

/** Which connection is meant. */
export type Reference = readonly [set: string, member: string, connection: string];

/** A connection to add (with its data) or to remove (data null). */
export interface Change {
  readonly reference: Reference;
  readonly data: string | null;
  readonly limit?: number | undefined;
}

/** What a change did: whether it was done, and the member's connections before and after. */
export interface Changed {
  readonly done: boolean;
  readonly before: number;
  readonly after: number;
}

/** A connection that ended with its node, to be announced once. */
export interface Announcement {
  readonly set: string;
  readonly lost: Present;
  readonly last: boolean;
  /** As it is stored. */
  readonly text: string;
}

const Texts = v.array(v.string());
const Connections = v.pipe(v.string(), v.parseJson(), Texts);
const StoredReference = v.pipe(v.string(), v.parseJson(), v.tuple([v.string(), v.string(), v.string()]));
const StoredAnnouncement = v.pipe(
  v.string(),
  v.parseJson(),
  v.tuple([v.string(), v.string(), v.string(), v.string(), v.string(), v.string()]),
);

/**
 * Presence as it stands in Redis. The keys share one hash tag, because a node's death is handled in single steps over
 * all of its sets: in a cluster, presence lives on one server.
 */
export class PresenceStore {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #base: string;
  readonly #lease: number;

  /** @param options `lease` in milliseconds */
  constructor(connection: Connection, options: { node: string; base: string; lease: number }) {
    this.#connection = connection;
    this.#node = options.node;
    this.#base = options.base;
    this.#lease = options.lease;
  }

  /** Makes changes for this node, all in one step. `held` is false when the node had no lease (it has one now). */
  async change(changes: readonly Change[]): Promise<{ held: boolean; changed: Changed[] }> {
    const args = changes.flatMap(({ reference, data, limit }) => [
      data === null ? "leave" : "join",
      ...reference,
      data ?? "",
      limit ?? -1,
    ]);
    const answer = await this.#eval(scripts.presenceChange, [this.#node, this.#lease, ...args]);
    const [held, ...results] = v.parse(v.array(v.number()), answer);
    const changed = changes.map((_, index) => {
      const [done, before = 0, after = 0] = results.slice(index * 3, index * 3 + 3);
      return { done: done === 1, before, after };
    });
    return { held: held === 1, changed };
  }

  /** The connections of a set, or of one member of it. */
  async list(set: string, member?: string): Promise<Present[]> {
    const key = `${this.#base}set:${set}`;
    if (member === undefined) {
      const members = await this.#connection.run((client) => client.hgetall(key));
      return Object.entries(members).flatMap(([name, stored]) => presentOf(name, stored));
    }
    const stored = await this.#connection.run((client) => client.hget(key, member));
    return stored === null ? [] : presentOf(member, stored);
  }

  /** Those of the given members who have a connection in the set. */
  async among(set: string, members: Iterable<string>): Promise<Set<string>> {
    const key = `${this.#base}set:${set}`;
    const asked = [...new Set(members)];
    const stored = await inParts(asked, (part) => this.#connection.run((client) => client.hmget(key, ...part)));
    return new Set(asked.filter((_, index) => stored[index] !== null));
  }

  /** Everything the store holds for this node. */
  async references(): Promise<Reference[]> {
    const found = new Set<string>();
    let cursor = "0";
    do {
      const [next, page] = await this.#connection.run((client) =>
        client.sscan(`${this.#base}node:${this.#node}`, cursor, "COUNT", batch * 5),
      );
      for (const reference of page) found.add(reference);
      cursor = next;
    } while (cursor !== "0");
    return [...found].map((text) => v.parse(StoredReference, text));
  }

  /**
   * Takes the connections of a node whose lease has ended out of their sets; this node then owes their announcements.
   * Given this node itself, it gives up: whoever buries it announces them.
   */
  async reap(node: string): Promise<void> {
    while ((await this.#eval(scripts.presenceReap, [node, this.#node, batch])) === 1);
  }

  /** Some of the announcements this node owes; none when it owes no more. */
  async owed(): Promise<Announcement[]> {
    const texts = v.parse(Texts, await this.#connection.run((client) => client.srandmember(this.#owedKey, batch)));
    return texts.map((text) => {
      const [set, member, connection, node, data, last] = v.parse(StoredAnnouncement, text);
      return { set, lost: { member, connection, node, data }, last: last !== "", text };
    });
  }

  /** Notes that announcements were made. */
  async settle(announcements: readonly Announcement[]): Promise<void> {
    await this.#connection.run((client) => client.srem(this.#owedKey, ...announcements.map(({ text }) => text)));
  }

  get #owedKey(): string {
    return `${this.#base}lost:${this.#node}`;
  }

  /** The scripts make their keys from the base; the leases stand for the slot they all share. */
  #eval(script: (typeof scripts)["presenceChange" | "presenceReap"], args: readonly (string | number)[]) {
    return this.#connection.eval(script, [`${this.#base}leases`], [this.#base, ...args]);
  }
}

function presentOf(member: string, stored: string): Present[] {
  const list = v.parse(Connections, stored);
  return Array.from({ length: list.length / 3 }, (_, index) => ({
    member,
    connection: list[index * 3]!,
    node: list[index * 3 + 1]!,
    data: list[index * 3 + 2]!,
  }));
}
