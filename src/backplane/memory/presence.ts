import type { Presence, Present } from "../backplane.ts";
import { type Joined, type Left, Roster } from "../roster.ts";

/** Presence of a lone node: nothing can end without it. */
export class MemoryPresence implements Presence {
  readonly #roster: Roster;

  constructor(node: string) {
    this.#roster = new Roster(node);
  }

  async join(
    set: string,
    member: string,
    connection: string,
    options: { data?: string; limit?: number } = {},
  ): Promise<Joined> {
    return this.#roster.join(set, member, connection, options.data ?? "", options.limit);
  }

  async leave(set: string, member: string, connection: string): Promise<Left> {
    return this.#roster.leave(set, member, connection);
  }

  async list(set: string, member?: string): Promise<Present[]> {
    return this.#roster.list(set, member);
  }

  async among(set: string, members: Iterable<string>): Promise<Set<string>> {
    return this.#roster.among(set, members);
  }

  onLost(): () => void {
    return () => {};
  }

  onRestored(): () => void {
    return () => {};
  }

  clear(): void {
    this.#roster.clear();
  }
}
