import type { Clock } from "../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../http/cors.ts";
import type { Log } from "../../observe/log.ts";
import type { Bans } from "./bans.ts";
import { closeOf, closes } from "./closes.ts";
import type { Connections } from "./connections.ts";
import type { Counters } from "./counters.ts";
import type { Devices } from "./devices.ts";
import { errors, isOutage, publicFault } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { refreshedFrame } from "./messages.ts";
import { type ChatChannel, isDetailed, shut, type UserChannel } from "./session.ts";

/** Who may have a socket, and for how long (sections 2 and 6). */
export class Admission {
  readonly #parts: {
    readonly identity: Identity;
    readonly bans: Bans;
    readonly connections: Connections;
    readonly devices: Devices;
    readonly counters: Counters;
    readonly clock: Clock;
    readonly log: Log;
  };
  readonly #cors: CorsPolicy;

  constructor(
    parts: {
      identity: Identity;
      bans: Bans;
      connections: Connections;
      devices: Devices;
      counters: Counters;
      clock: Clock;
      log: Log;
    },
    cors: CorsPolicy,
  ) {
    this.#parts = parts;
    this.#cors = cors;
  }

  /**
   * Admits a socket before its upgrade is answered, or sees to it that it is told why not right after (C-2.11). The
   * upgrade waits for the end of older sockets of the user on this node (C-6.11).
   */
  async arriving(channel: ChatChannel, { headers }: Request): Promise<void> {
    const { identity, counters } = this.#parts;
    if (!originAllowed(this.#cors, headers.get("origin"))) {
      counters.refused("origin");
      shut(channel, closes.unauthorized);
      return;
    }
    try {
      const { user, expires } = await identity.ofSocket(channel.url, headers);
      const heard = this.#parts.clock.elapsed();
      const detailed = isDetailed(channel);
      channel.session = { user, detailed, number: 0, expires, heard, strangeSends: 0, replaced: false };
      await this.#admit(channel as UserChannel);
    } catch (error) {
      this.#refuse(channel, error);
    }
  }

  /** `RefreshToken`: moves the end of a socket (C-4.20). */
  async renew(channel: UserChannel, token: string): Promise<void> {
    try {
      const { user, expires } = await this.#parts.identity.ofToken(token);
      if (user !== channel.session.user) throw errors.fault("invalid_token");
      channel.session.expires = expires;
      channel.send(refreshedFrame(expires));
    } catch (error) {
      if (errors.owns(error)) shut(channel, closes.badToken);
      else this.#refuse(channel, error);
    }
  }

  left(channel: ChatChannel): void {
    if (!channel.session) return;
    this.#parts.devices.remove(channel as UserChannel);
    this.#parts.connections.left(channel as UserChannel);
  }

  async #admit(channel: UserChannel): Promise<void> {
    const { bans, connections, devices, counters } = this.#parts;
    // Before the ban is looked up: one that comes meanwhile must find the socket.
    devices.add(channel);
    const number = await bans.admit(channel.session.user);
    if (number === null) {
      counters.refused("user_banned");
      shut(channel, closes.banned);
      return;
    }
    channel.session.number = number;
    await connections.arrived(channel);
  }

  #refuse(channel: ChatChannel, error: unknown): void {
    const { counters, log } = this.#parts;
    const fault = publicFault(error);
    if (fault.row.status >= 500 && !isOutage(error)) log.error({ error }, "a socket could not be checked");
    counters.refused(fault.code);
    shut(channel, closeOf(fault.row.close ?? closes.serverError.code));
  }
}
