import * as v from "valibot";
import type { Backplane } from "../../../backplane/backplane.ts";
import type { Channel } from "../../../rawsocket/endpoint.ts";
import type { Window } from "../client/session.ts";
import { closes } from "../errors.ts";

/** What is at the far end of a link: the unit's tracker, or its driver's app. */
export type Role = "tracker" | "pnd";

/** A unit's device, connected. */
export interface Link {
  readonly uid: number;
  readonly role: Role;
  /** When it came; of two links of a unit and role the later one stays. */
  readonly since: number;
}

/** What is known of one device socket. Plain data: it outlives a reload of the code. */
export interface DeviceSession {
  link: Link | null;
  readonly faults: Window;
}

export type DeviceChannel = Channel<DeviceSession>;

/** Device links of all nodes; members are `role:uid`. */
const SET = "fleet:links";
/** Links that have come, and the members of those that have gone. */
const ARRIVED = "fleet:links";
const DEPARTED = "fleet:departed";

/** Units whose links have to end, by uid. */
const ENDED = "fleet:ended";

const Arrival = v.object({
  uid: v.number(),
  role: v.picklist(["tracker", "pnd"]),
  since: v.number(),
  channel: v.string(),
});

/** Told of a link. */
type Heard = (uid: number, role: Role) => void;

/** Which device is linked where (F-6.8, F-6.9, F-12.31). */
export class Links {
  readonly #backplane: Backplane;
  /** The links of this node. */
  readonly #here: Map<string, DeviceChannel>;
  readonly #stops: readonly (() => void)[];

  constructor(backplane: Backplane, here: Map<string, DeviceChannel>) {
    this.#backplane = backplane;
    this.#here = here;
    this.#stops = [
      backplane.topics.subscribe(ARRIVED, (message) => {
        const { uid, role, since, channel } = v.parse(Arrival, JSON.parse(String(message)));
        this.#replace(uid, role, since, channel);
      }),
      backplane.topics.subscribe(ENDED, (uid) => this.#end(Number(uid))),
    ];
  }

  /** Makes a channel the link of its unit and role; an older one, wherever it is, is closed with 4409. */
  async enter(channel: DeviceChannel, link: Link): Promise<void> {
    const { uid, role, since } = link;
    const member = memberOf(uid, role);
    await this.#backplane.presence.join(SET, member, channel.id, { data: String(since) });
    if (!channel.open) {
      await this.#backplane.presence.leave(SET, member, channel.id);
      return;
    }
    // Here the later one is known, also when both came in the same millisecond.
    this.#here.get(member)?.close(closes.replaced.code, closes.replaced.reason);
    channel.session.link = link;
    this.#here.set(member, channel);
    this.#backplane.topics.publish(ARRIVED, JSON.stringify({ uid, role, since, channel: channel.id }));
  }

  /** The channel is no link any more. */
  async leave(channel: DeviceChannel): Promise<Link | null> {
    const { link } = channel.session;
    if (!link) return null;
    const member = memberOf(link.uid, link.role);
    channel.session.link = null;
    if (this.#here.get(member) === channel) this.#here.delete(member);
    await this.#backplane.presence.leave(SET, member, channel.id);
    this.#backplane.topics.publish(DEPARTED, member);
    return link;
  }

  /** The link on this node, if it is here. */
  here(uid: number, role: Role): DeviceChannel | null {
    const channel = this.#here.get(memberOf(uid, role));
    return channel?.open ? channel : null;
  }

  /** Where the unit's link is: this node is asked first, so that a backplane that is away does not cut what is here. */
  async find(uid: number, role: Role): Promise<{ readonly node: string } | null> {
    if (this.here(uid, role)) return { node: this.#backplane.node };
    const found = await this.#backplane.presence.list(SET, memberOf(uid, role));
    return found.sort((a, b) => Number(b.data) - Number(a.data))[0] ?? null;
  }

  /** Every linked unit of a role, over all nodes. */
  async all(): Promise<(readonly [uid: number, role: Role])[]> {
    const links = await this.#backplane.presence.list(SET);
    return links.map(({ member }) => linkOf(member));
  }

  /**
   * `lost` is called on one living node when a link ended with its node, `restored` on its own when it was not so, and
   * `departed` on all nodes but its own when it ended by itself.
   */
  onChange({ lost, restored, departed }: Record<"lost" | "restored" | "departed", Heard>): () => void {
    const { presence, topics } = this.#backplane;
    const heard =
      (listener: Heard) =>
      (set: string, { member }: { member: string }) => {
        if (set === SET) listener(...linkOf(member));
      };
    const stops = [
      presence.onLost(heard(lost)),
      presence.onRestored(heard(restored)),
      topics.subscribe(DEPARTED, (member) => departed(...linkOf(String(member)))),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Ends the links of a unit on every node: it was removed or disabled. */
  end(uid: number): void {
    this.#end(uid);
    this.#backplane.topics.publish(ENDED, String(uid));
  }

  /** The units that are linked here. */
  uidsHere(): number[] {
    return [...this.#here.values()].flatMap(({ session }) => session.link?.uid ?? []);
  }

  count(role: Role): number {
    return [...this.#here.keys()].filter((member) => member.startsWith(`${role}:`)).length;
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #end(uid: number): void {
    const { code, reason } = closes.refused;
    for (const role of ["tracker", "pnd"] as const) this.here(uid, role)?.close(code, reason);
  }

  #replace(uid: number, role: Role, since: number, channel: string): void {
    const known = this.#here.get(memberOf(uid, role));
    if (!known || known.id === channel) return;
    const own = known.session.link?.since ?? 0;
    if (own > since || (own === since && known.id > channel)) return;
    known.close(closes.replaced.code, closes.replaced.reason);
  }
}

const memberOf = (uid: number, role: Role) => `${role}:${uid}`;

function linkOf(member: string): readonly [uid: number, role: Role] {
  const [role, uid] = member.split(":");
  return [Number(uid), role as Role];
}
