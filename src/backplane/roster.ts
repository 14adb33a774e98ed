import type { Present } from "./backplane.ts";

/** What a join did. */
export interface Joined {
  readonly admitted: boolean;
  readonly first: boolean;
  readonly count: number;
}

/** What a leave did. */
export interface Left {
  readonly last: boolean;
  readonly count: number;
}

/** The connections of one node, by set and member: all there is for a lone node, a node's own share otherwise. */
export class Roster {
  readonly #node: string;
  readonly #sets = new Map<string, Map<string, Map<string, string>>>();

  constructor(node: string) {
    this.#node = node;
  }

  /** Adds a connection or replaces its data; see `Presence.join`. */
  join(set: string, member: string, connection: string, data: string, limit: number | undefined): Joined {
    const connections = this.#sets.get(set)?.get(member);
    const before = connections?.size ?? 0;
    if (!connections?.has(connection) && limit !== undefined && before >= limit) {
      return { admitted: false, first: false, count: before };
    }
    if (connections === undefined) {
      const members = this.#sets.get(set) ?? new Map<string, Map<string, string>>();
      this.#sets.set(set, members.set(member, new Map([[connection, data]])));
      return { admitted: true, first: true, count: 1 };
    }
    connections.set(connection, data);
    return { admitted: true, first: false, count: connections.size };
  }

  /** Removes a connection; see `Presence.leave`. */
  leave(set: string, member: string, connection: string): Left {
    const members = this.#sets.get(set);
    const connections = members?.get(member);
    if (members === undefined || connections === undefined) return { last: false, count: 0 };
    const left = connections.delete(connection);
    if (connections.size > 0) return { last: false, count: connections.size };
    members.delete(member);
    if (members.size === 0) this.#sets.delete(set);
    return { last: left, count: 0 };
  }

  /** The data of a connection; undefined when it is not here. */
  data(set: string, member: string, connection: string): string | undefined {
    return this.#sets.get(set)?.get(member)?.get(connection);
  }

  /** The connections of a set, or of one member of it. */
  list(set: string, member?: string): Present[] {
    const members = this.#sets.get(set);
    if (members === undefined) return [];
    const chosen =
      member === undefined ? members : [[member, members.get(member) ?? new Map<string, string>()] as const];
    const present: Present[] = [];
    for (const [name, connections] of chosen) {
      for (const [connection, data] of connections) present.push({ member: name, connection, node: this.#node, data });
    }
    return present;
  }

  /** Those of the given members who have a connection in the set. */
  among(set: string, members: Iterable<string>): Set<string> {
    const present = this.#sets.get(set);
    return new Set(present && [...members].filter((member) => present.has(member)));
  }

  /** Every connection with its set. */
  *entries(): Generator<readonly [set: string, member: string, connection: string]> {
    for (const [set, members] of this.#sets) {
      for (const [member, connections] of members) {
        for (const connection of connections.keys()) yield [set, member, connection];
      }
    }
  }

  clear(): void {
    this.#sets.clear();
  }
}
