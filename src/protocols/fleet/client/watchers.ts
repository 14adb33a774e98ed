import { and, eq, inArray } from "drizzle-orm";
import { accounts } from "../../../accounts/tables.ts";
import type { Presence } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import { closes, type FrameErrorCode, frameErrors } from "../errors.ts";
import { type Answer, type Fanout, unitTopic, userTopic } from "../fanout.ts";
import { errorFrame, parsedFrame } from "../frames.ts";
import type { Sessids } from "../identity/sessids.ts";
import { rightsOf, type UnitRights } from "../units/access.ts";
import type { Revision } from "../units/revision.ts";
import type { ClientChannel, Login } from "./session.ts";

/** Client sockets of all nodes, by user. */
const SET = "fleet:sockets";

/** What the watchers work with. */
export interface WatcherParts {
  readonly database: Database;
  readonly presence: Presence;
  readonly fanout: Fanout;
  readonly sessids: Sessids;
  readonly revision: Revision;
  readonly clock: Clock;
  readonly log: Log;
}

/** The authenticated client sockets of this node: what each may see, and for how long. */
export class Watchers {
  readonly #parts: WatcherParts;
  readonly #maxSockets: number;
  readonly #channels: Set<ClientChannel>;
  /** Rights may have changed since they were read. */
  #stale = false;
  /** Changes this node has heard of. */
  #changes = 0;
  #refreshing: Promise<void> | null = null;

  constructor(parts: WatcherParts, maxSockets: number, channels: Set<ClientChannel>) {
    this.#parts = parts;
    this.#maxSockets = maxSockets;
    this.#channels = channels;
    parts.revision.onChange(() => {
      this.#stale = true;
      this.#changes++;
      this.refresh().catch((error) => parts.log.warn({ error }, "rights not read again"));
    });
    parts.fanout.onAnswer((answer) => this.#answer(answer));
  }

  get size(): number {
    return this.#channels.size;
  }

  /**
   * Makes a socket a user's (F-2.5, F-2.9); `welcome` runs before anything of a unit can reach it. False when the user
   * has as many sockets as he may.
   */
  async enter(channel: ClientChannel, login: Omit<Login, "rights">, welcome: () => void): Promise<boolean> {
    const { presence } = this.#parts;
    const name = String(login.user);
    const before = channel.session.login;
    if (before?.user !== login.user) {
      if (!(await presence.join(SET, name, channel.id, { limit: this.#maxSockets })).admitted) return false;
    }
    const rights = await this.#rightsOf(login.user);
    if (!channel.open) {
      this.#absent(name, channel.id);
      return true;
    }
    const stays = before?.user === login.user;
    if (before && !stays) this.#part(channel, before);
    channel.session.login = { ...login, rights: stays ? before.rights : new Map() };
    this.#channels.add(channel);
    welcome();
    channel.subscribe(userTopic(login.user));
    this.#grant(channel, rights);
    return true;
  }

  leave(channel: ClientChannel): void {
    const { login } = channel.session;
    if (!login) return;
    channel.session.login = null;
    this.#channels.delete(channel);
    this.#part(channel, login);
  }

  /**
   * Brings every socket up to date with the store: sessions prolonged, expired (4005) or revoked (4401), accounts
   * disabled or removed (4401), and rights where they may have changed (F-2.10, F-2.11, F-2.13).
   */
  refresh(): Promise<void> {
    // One that comes while another reads must not be content with what that one has read.
    const next = (this.#refreshing ?? Promise.resolve()).then(() => this.#refresh());
    const settled = next
      .catch(() => {})
      .finally(() => {
        if (this.#refreshing === settled) this.#refreshing = null;
      });
    this.#refreshing = settled;
    return next;
  }

  async #refresh(): Promise<void> {
    if (this.#channels.size === 0) return;
    const { database, sessids, clock } = this.#parts;
    const channels = [...this.#channels];
    const logins = channels.flatMap(({ session }) => session.login ?? []);
    const users = [...new Set(logins.map(({ user }) => user))];
    const stale = this.#stale;
    this.#stale = false;
    try {
      const active = await this.#active(users);
      const expiries = await sessids.expiries([...new Set(logins.map(({ hash }) => hash))]);
      const rights = stale ? await rightsOf(database, users) : null;
      for (const units of rights?.values() ?? []) await this.#follow(units);
      const now = clock.now();
      for (const channel of channels) {
        const { login } = channel.session;
        if (!login || !logins.includes(login)) continue;
        const expiresAt = expiries.get(login.hash);
        if ((expiresAt ?? login.expiresAt) <= now) this.#end(channel, closes.sessionExpired);
        else if (expiresAt === undefined || !active.has(login.user)) this.#end(channel, closes.refused);
        else {
          login.expiresAt = expiresAt;
          if (rights) this.#grant(channel, rights.get(login.user) ?? new Map());
        }
      }
    } catch (error) {
      this.#stale ||= stale;
      // While the store is away, sessions still end when they were to end.
      for (const channel of channels) {
        if ((channel.session.login?.expiresAt ?? Number.POSITIVE_INFINITY) <= clock.now()) {
          this.#end(channel, closes.sessionExpired);
        }
      }
      throw error;
    }
  }

  async #active(users: readonly number[]): Promise<Set<number>> {
    const rows = await this.#parts.database.orm
      .select({ number: accounts.number })
      .from(accounts)
      .where(and(inArray(accounts.number, [...users]), eq(accounts.disabled, false)));
    return new Set(rows.map(({ number }) => number));
  }

  /** Puts rights in force. Only what differs is subscribed anew, so that nothing is missed of the rest. */
  #grant(channel: ClientChannel, rights: UnitRights): void {
    const { login } = channel.session;
    if (!login) return;
    for (const [uid, { view }] of login.rights) if (view && !rights.get(uid)?.view) channel.unsubscribe(unitTopic(uid));
    for (const [uid, { view }] of rights) if (view && !login.rights.get(uid)?.view) channel.subscribe(unitTopic(uid));
    login.rights = rights;
  }

  #part(channel: ClientChannel, { user, rights }: Login): void {
    channel.unsubscribe(userTopic(user));
    for (const [uid, { view }] of rights) if (view) channel.unsubscribe(unitTopic(uid));
    this.#absent(String(user), channel.id);
  }

  #absent(user: string, channel: string): void {
    const { presence, log } = this.#parts;
    presence.leave(SET, user, channel).catch((error) => log.warn({ error }, "presence not updated"));
  }

  /** Rights as of a moment after which no change was heard of. */
  async #rightsOf(user: number): Promise<UnitRights> {
    for (;;) {
      const changes = this.#changes;
      const rights = (await rightsOf(this.#parts.database, [user])).get(user) ?? new Map();
      await this.#follow(rights);
      if (changes === this.#changes) return rights;
    }
  }

  #follow(rights: UnitRights): Promise<void> {
    return this.#parts.fanout.follow([...rights].flatMap(([uid, { view }]) => (view ? uid : [])));
  }

  #end(channel: ClientChannel, { code, reason }: { code: number; reason: string }): void {
    this.leave(channel);
    channel.close(code, reason);
  }

  /** An answer to a command, or its failure, to those who may see it and those who asked (F-4.13, F-5.14). */
  #answer({ uid, askers, subtype, cmd, fault }: Answer): void {
    const plain = fault === undefined ? parsedFrame(uid, subtype, cmd) : null;
    for (const channel of this.#channels) {
      for (const id of askers[channel.id] ?? []) {
        const frame = fault === undefined ? parsedFrame(uid, subtype, cmd, id) : faultFrame(fault, id);
        const status = channel.session.unanswered.get(id);
        if (status) void status.then(() => channel.send(frame));
        else channel.send(frame);
      }
      const isViewer = channel.session.login?.rights.get(uid)?.view === true;
      if (plain !== null && isViewer && !askers[channel.id]) channel.send(plain);
    }
  }
}

const faultFrame = (code: FrameErrorCode, id: string) => errorFrame(code, frameErrors[code], { id });
