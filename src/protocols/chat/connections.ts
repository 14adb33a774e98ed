import { type Backplane, BackplaneUnavailable, type Present } from "../../backplane/backplane.ts";
import type { Log } from "../../observe/log.ts";
import { type Close, closes } from "./closes.ts";
import type { Devices } from "./devices.ts";
import type { LetterOf, Mail } from "./mail.ts";
import { type Confirmation, confirmationFrame } from "./messages.ts";
import { finish, type UserChannel } from "./session.ts";

/** All connections of all nodes, by user. */
const SET = "chat:sockets";

/** Milliseconds that a replaced socket has for its own confirmations; later ones go to the newest socket (C-6.12). */
const HANDOVER = 250;

/** The connections of a user over all nodes: how many he may have, how they end, where his newest one is. */
export class Connections {
  readonly #backplane: Backplane;
  readonly #devices: Devices;
  readonly #mail: Mail;
  readonly #log: Log;
  /** Connections a user may have. */
  readonly #limit: number;
  readonly #stop: () => void;

  constructor(parts: { backplane: Backplane; devices: Devices; mail: Mail; log: Log }, limit: number) {
    this.#backplane = parts.backplane;
    this.#devices = parts.devices;
    this.#mail = parts.mail;
    this.#log = parts.log;
    this.#limit = limit;
    this.#stop = parts.backplane.presence.onRestored((set, { member }) => {
      if (set === SET) this.#report(this.#endSurplus(member));
    });
  }

  /**
   * Makes an admitted socket known to all nodes and ends those that are too many now. Resolves when the ones of this
   * node have been told (C-6.10, C-6.11, C-6.13). Never rejects.
   */
  async arrived({ session }: UserChannel): Promise<void> {
    try {
      await this.#backplane.presence.join(SET, session.user, String(session.number));
      await this.#endSurplus(session.user);
    } catch (error) {
      this.#log.error({ error }, "connections of a user not brought in order");
    }
  }

  left({ session }: UserChannel): void {
    if (session.number === 0) return;
    this.#report(this.#backplane.presence.leave(SET, session.user, String(session.number)));
  }

  /** Ends the sockets of a user on all nodes; returns how many there were. */
  async end(user: string, close: Close): Promise<number> {
    const { length } = await this.#everywhere(user);
    this.#mail.toAll({ kind: "close", user, code: close.code, reason: close.reason });
    this.endHere(user, close);
    return length;
  }

  endHere(user: string, close: Close): void {
    for (const channel of this.#devices.of(user)) void finish(channel, close);
  }

  /** Confirms a send, on the newest socket of the user if the one it came from has been replaced (C-6.12). */
  confirm(channel: UserChannel, confirmation: Confirmation): void {
    const { user, detailed, replaced } = channel.session;
    if (channel.open || !replaced) channel.send(confirmationFrame(confirmation, detailed));
    else if (!this.confirmHere(user, confirmation)) this.#report(this.#confirmElsewhere(user, confirmation));
  }

  /** Confirms a send on the newest socket that the user has on this node; false when he has none. */
  confirmHere(user: string, confirmation: Confirmation): boolean {
    const newest = this.#devices.newestFirst(user).find(({ open }) => open);
    newest?.send(confirmationFrame(confirmation, newest.session.detailed));
    return newest !== undefined;
  }

  /** Ends the connection of this number, if it is still here. */
  async replaceHere({ user, number }: Omit<LetterOf<"replace">, "kind">): Promise<void> {
    for (const channel of this.#devices.of(user)) {
      if (channel.session.number !== number) continue;
      channel.session.replaced = true;
      await finish(channel, closes.newDevice, HANDOVER);
    }
  }

  close(): void {
    this.#stop();
  }

  /**
   * Ends the oldest connections of a user beyond the limit. Whoever arrives is on the list before it is read here, so of
   * several that arrive at once the last reader sees them all.
   */
  async #endSurplus(user: string): Promise<void> {
    const surplus = (await this.#everywhere(user)).slice(this.#limit);
    await Promise.all(
      surplus.map(async ({ node, connection }) => {
        const number = Number(connection);
        if (node === this.#backplane.node) await this.replaceHere({ user, number });
        else this.#mail.toNode(node, { kind: "replace", user, number });
      }),
    );
  }

  async #confirmElsewhere(user: string, confirmation: Confirmation): Promise<void> {
    const [newest] = await this.#everywhere(user);
    if (newest) this.#mail.toNode(newest.node, { kind: "confirm", user, confirmation });
  }

  /** The connections of a user, the newest first; while the shared store is away those of this node. */
  async #everywhere(user: string): Promise<Pick<Present, "node" | "connection">[]> {
    try {
      const all = await this.#backplane.presence.list(SET, user);
      return all.sort((a, b) => Number(b.connection) - Number(a.connection));
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) throw error;
      const { node } = this.#backplane;
      return this.#devices.newestFirst(user).map(({ session }) => ({ node, connection: String(session.number) }));
    }
  }

  #report(work: Promise<unknown>): void {
    work.catch((error) => this.#log.warn({ error }, "connections of a user not up to date"));
  }
}
