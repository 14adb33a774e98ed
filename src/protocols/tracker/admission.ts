import { randomUUID } from "node:crypto";
import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import type { Admission as Answer, Handshake } from "../../socketio/endpoint.ts";
import type { Counters } from "./counters.ts";
import { details, errors, isOutage } from "./errors.ts";
import { type Identity, looseToken } from "./identity.ts";
import { AuthVersion, type ErrorNotice } from "./messages.ts";
import type { Presence } from "./presence.ts";
import type { Session, TrackerPeer } from "./session.ts";

/** Who may connect, and for how long (section 2). */
export class Admission {
  readonly #parts: {
    readonly identity: Identity;
    readonly presence: Presence;
    readonly counters: Counters;
    readonly clock: Clock;
    readonly log: Log;
  };
  readonly #options: { readonly cors: CorsPolicy; readonly grace: number };
  /** The admitted sockets of this node. */
  readonly #peers: Set<TrackerPeer>;

  constructor(
    parts: { identity: Identity; presence: Presence; counters: Counters; clock: Clock; log: Log },
    options: { cors: CorsPolicy; grace: number },
    peers: Set<TrackerPeer>,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#peers = peers;
  }

  /** Answers a handshake (T-2.20, T-2.24, T-2.25). */
  async authenticate(handshake: Handshake): Promise<Answer<Session>> {
    const { counters, log } = this.#parts;
    const detailed = handshake.revision === 4 && v.is(AuthVersion, handshake.auth);
    try {
      return { session: await this.#admit(handshake, detailed) };
    } catch (error) {
      if (!errors.owns(error)) {
        counters.refused("unavailable");
        if (!isOutage(error)) log.error({ error }, "a socket could not be checked");
        return { refuse: "close" };
      }
      counters.refused(error.code);
      const payload: ErrorNotice = { details: details(error) };
      return detailed
        ? { refuse: "error", message: error.row.text, data: payload }
        : { refuse: "event", event: "error", payload };
    }
  }

  /** The socket of an admitted session is there. */
  arrived(peer: TrackerPeer): void {
    this.#peers.add(peer);
    this.#parts.counters.connects.value++;
  }

  gone(peer: TrackerPeer): void {
    this.#peers.delete(peer);
  }

  /** Moves the end of a socket's token (T-2.27). Throws `invalid_credentials` for another user's token. */
  async renew({ session }: TrackerPeer, token: string): Promise<void> {
    const user = await this.#parts.identity.ofToken(looseToken(token) ?? "");
    if (user.account !== session.user.account) throw errors.fault("invalid_credentials");
    session.expires = user.expires;
  }

  /** Puts out sockets whose token and grace are over (T-2.26). */
  sweep(): void {
    const now = this.#parts.clock.now();
    for (const peer of this.#peers) {
      if (peer.session.expires + this.#options.grace > now) continue;
      this.#peers.delete(peer);
      this.#parts.counters.expired.value++;
      peer.kick("error", { details: details(errors.fault("invalid_credentials")) } satisfies ErrorNotice);
    }
  }

  async #admit(handshake: Handshake, detailed: boolean): Promise<Session> {
    const { identity, presence } = this.#parts;
    if (!originAllowed(this.#options.cors, handshake.header("origin") ?? null))
      throw errors.fault("origin_not_allowed");
    const user = await identity.ofSocket(handshake);
    const connection = randomUUID();
    if (!(await presence.enter(user, connection))) throw errors.fault("too_many_connections");
    return { user, connection, detailed, expires: user.expires, rooms: new Map(), toldAt: Number.NEGATIVE_INFINITY };
  }
}
