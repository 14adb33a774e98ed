import { randomUUID } from "node:crypto";
import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import type { Admission as Answer, Handshake } from "../../socketio/endpoint.ts";
import type { Counters } from "./counters.ts";
import { details, errors } from "./errors.ts";
import { type Identity, looseToken } from "./identity.ts";
import { AuthVersion, type ErrorNotice } from "./messages.ts";
import type { Presence } from "./presence.ts";
import type { Session, TrackerPeer } from "./session.ts";

/** Longest way from an answered handshake to an admitted socket; one that takes longer never came. */
const ARRIVAL = 60_000;

/** What must outlive a reload of the code. */
export interface AdmissionState {
  readonly peers: Set<TrackerPeer>;
  /** Sessions that were admitted but have no socket yet, and since when. */
  readonly arriving: Map<Session, number>;
}

export const newAdmissionState = (): AdmissionState => ({ peers: new Set(), arriving: new Map() });

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
  readonly #state: AdmissionState;

  constructor(
    parts: { identity: Identity; presence: Presence; counters: Counters; clock: Clock; log: Log },
    options: { cors: CorsPolicy; grace: number },
    state: AdmissionState,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#state = state;
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
        log.warn({ error }, "a socket could not be checked");
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
    this.#state.arriving.delete(peer.session);
    this.#state.peers.add(peer);
    this.#parts.counters.connects.value++;
  }

  gone(peer: TrackerPeer): void {
    this.#state.peers.delete(peer);
  }

  /** Moves the end of a socket's token (T-2.27). Throws `invalid_credentials` for another user's token. */
  async renew({ session }: TrackerPeer, token: string): Promise<void> {
    const user = await this.#parts.identity.ofToken(looseToken(token) ?? "");
    if (user.account !== session.user.account) throw errors.fault("invalid_credentials");
    session.expires = user.expires;
  }

  /** Puts out sockets whose token and grace are over (T-2.26), and forgets sessions whose client never came. */
  sweep(): void {
    const now = this.#parts.clock.now();
    for (const peer of this.#state.peers) {
      if (peer.session.expires + this.#options.grace > now) continue;
      this.#state.peers.delete(peer);
      this.#parts.counters.expired.value++;
      peer.kick("error", { details: details(errors.fault("invalid_credentials")) } satisfies ErrorNotice);
    }
    for (const [session, since] of this.#state.arriving) {
      if (now - since < ARRIVAL) continue;
      this.#state.arriving.delete(session);
      this.#parts.presence.leave(session);
    }
  }

  async #admit(handshake: Handshake, detailed: boolean): Promise<Session> {
    const { identity, presence, clock } = this.#parts;
    if (!originAllowed(this.#options.cors, handshake.header("origin") ?? null))
      throw errors.fault("origin_not_allowed");
    const user = await identity.ofSocket(handshake);
    const connection = randomUUID();
    if (!(await presence.enter(user, connection))) throw errors.fault("too_many_connections");
    const session = { user, connection, detailed, expires: user.expires, rooms: new Map(), toldAt: 0 };
    this.#state.arriving.set(session, clock.now());
    return session;
  }
}
