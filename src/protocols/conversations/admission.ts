import { randomUUID } from "node:crypto";
import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import type { Admission as Answer, Handshake, LeaveReason, Peer } from "../../socketio/endpoint.ts";
import type { Counters } from "./counters.ts";
import { errors, isOutage, unauthorized } from "./errors.ts";
import type { Identity, User } from "./identity.ts";
import { Credential, Role, type VerifyUser } from "./messages.ts";
import type { Presence } from "./presence.ts";
import type { Admitted, ChatPeer, Session } from "./session.ts";

/** WebSocket close code of a socket whose token has ended (V-7.4). */
const TOKEN_ENDED = 4005;

/** Who may connect, and for how long (section 2). */
export class Admission {
  readonly #parts: {
    readonly identity: Identity;
    readonly presence: Presence;
    readonly counters: Counters;
    readonly clock: Clock;
    readonly log: Log;
  };
  readonly #options: { readonly cors: CorsPolicy; readonly linger: number };
  /** The admitted sockets of this node. */
  readonly #peers: Set<Peer<Admitted>>;

  constructor(
    parts: { identity: Identity; presence: Presence; counters: Counters; clock: Clock; log: Log },
    options: { cors: CorsPolicy; linger: number },
    peers: Set<Peer<Admitted>>,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#peers = peers;
  }

  /** Answers a handshake of the chat (V-2.5 to V-2.9, V-2.17). */
  authenticate(handshake: Handshake): Promise<Answer<Session>> {
    return this.#answer(handshake, () => this.#admit(handshake));
  }

  /** Answers a handshake of an auction namespace, which needs nothing but a proven user (V-4.24, V-2.17). */
  authenticateListener<T>(handshake: Handshake, wishes: () => T): Promise<Answer<T & Admitted>> {
    return this.#answer(handshake, async () => {
      const user = await this.#userOf(handshake, { named: false });
      const wished = wishes();
      const connection = randomUUID();
      if (!(await this.#parts.presence.listen(user.id, connection))) throw errors.fault("TOO_MANY_SOCKETS");
      return { ...wished, user, connection, expires: user.expires };
    });
  }

  /** The socket of an admitted session is there. */
  arrived(peer: Peer<Admitted>): void {
    this.#peers.add(peer);
    this.#parts.counters.admitted.value++;
    this.#parts.log.info({ user: peer.session.user.id, revision: peer.revision }, "connected");
  }

  /** It has gone. */
  gone(peer: Peer<Admitted>, reason: LeaveReason): void {
    this.#peers.delete(peer);
    this.#parts.counters.closed(reason);
    this.#parts.log.info({ user: peer.session.user.id, reason }, "disconnected");
  }

  /**
   * Whether these credentials are those of the socket's user and role; a later end of the token is taken over (V-4.20).
   * Throws TokenCheckUnavailable.
   */
  async renew(
    { session }: ChatPeer,
    { token, user_id, user_role }: v.InferOutput<typeof VerifyUser>,
  ): Promise<boolean> {
    if (user_id !== session.user.id || user_role !== session.role) return false;
    const { identity } = this.#parts;
    if (identity.trustsGateway) return true;
    try {
      const user = await identity.ofToken(token);
      if (user.id !== user_id || !user.sides.includes(user_role)) return false;
      session.expires = user.expires;
      return true;
    } catch (error) {
      if (errors.owns(error)) return false;
      throw error;
    }
  }

  /** Puts out sockets whose token has ended (V-2.16). */
  sweep(leeway: number): void {
    const now = this.#parts.clock.now();
    for (const peer of this.#peers) {
      if (peer.session.expires + leeway > now) continue;
      this.#peers.delete(peer);
      this.#parts.log.info({ user: peer.session.user.id }, "token ended");
      peer.expel(TOKEN_ENDED);
    }
  }

  async #answer<T>(handshake: Handshake, admit: () => Promise<T>): Promise<Answer<T>> {
    const { counters, log } = this.#parts;
    try {
      if (!originAllowed(this.#options.cors, handshake.header("origin") ?? null)) throw errors.fault("FORBIDDEN");
      return { session: await admit() };
    } catch (error) {
      if (!errors.owns(error)) {
        counters.refused("unavailable");
        if (!isOutage(error)) log.error({ error }, "a socket could not be checked");
        return { refuse: "close" };
      }
      counters.refused(error.code);
      log.info({ code: error.code, cause: error.cause, revision: handshake.revision }, "socket refused");
      const told = error.code === "TOO_MANY_SOCKETS" || error.code === "INVALID_AUCTION";
      const { text } = told ? error.row : errors.rows.UNAUTHORIZED;
      return { refuse: "error", message: text, linger: this.#options.linger };
    }
  }

  async #admit(handshake: Handshake): Promise<Session> {
    const { presence } = this.#parts;
    const role = v.safeParse(Role, credential(handshake, "user_role"));
    if (!role.success) throw unauthorized("no user_role, or an unknown one");
    const user = await this.#userOf(handshake, { named: !this.#parts.identity.trustsGateway });
    if (!user.sides.includes(role.output)) throw unauthorized("a side that is not allowed");
    const connection = randomUUID();
    const entered = await presence.enter(user.id, connection);
    if (!entered) throw errors.fault("TOO_MANY_SOCKETS");
    return {
      user,
      role: role.output,
      connection,
      first: entered.first,
      expires: user.expires,
      refusals: { since: 0, count: 0 },
      excesses: { since: 0, count: 0 },
    };
  }

  /** The proven user; a `user_id` must name him (V-2.3), and with `named` there must be one (V-2.5, V-2.14). */
  async #userOf(handshake: Handshake, { named }: { named: boolean }): Promise<User> {
    const user = await this.#parts.identity.of({
      token: credential(handshake, "token"),
      header: (name) => handshake.header(name),
      peer: handshake.peer,
    });
    const name = credential(handshake, "user_id");
    if (name === undefined && named) throw unauthorized("no user_id");
    if (name !== undefined && name !== user.id) throw unauthorized("the user_id of somebody else");
    return user;
  }
}

/** A credential from the CONNECT packet, else from the query of the HTTP request (V-2.6). */
export function credential(
  { auth, query }: Handshake,
  name: string,
  schema: v.GenericSchema<unknown, string> = Credential,
): string | undefined {
  for (const source of [auth, query]) {
    if (typeof source !== "object" || source === null || !Object.hasOwn(source, name)) continue;
    const value = v.safeParse(schema, Reflect.get(source, name));
    if (value.success) return value.output;
  }
  return undefined;
}
