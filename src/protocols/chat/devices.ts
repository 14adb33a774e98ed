import type { UserChannel } from "./session.ts";

/** The sockets of this node by user. One object for the life of the process. */
export class Devices {
  readonly #byUser = new Map<string, Set<UserChannel>>();

  add(channel: UserChannel): void {
    const { user } = channel.session;
    const own = this.#byUser.get(user);
    if (own) own.add(channel);
    else this.#byUser.set(user, new Set([channel]));
  }

  remove(channel: UserChannel): void {
    const { user } = channel.session;
    const own = this.#byUser.get(user);
    if (own?.delete(channel) && own.size === 0) this.#byUser.delete(user);
  }

  /** All sockets of a user, those included that are still being admitted (their number is 0). */
  of(user: string): Iterable<UserChannel> {
    return this.#byUser.get(user) ?? [];
  }

  /** The admitted sockets of a user, the newest first. */
  newestFirst(user: string): UserChannel[] {
    return [...this.of(user)]
      .filter(({ session }) => session.number > 0)
      .sort((a, b) => b.session.number - a.session.number);
  }

  users(): string[] {
    return [...this.#byUser.keys()];
  }

  *all(): Generator<UserChannel> {
    for (const own of this.#byUser.values()) yield* own;
  }
}
