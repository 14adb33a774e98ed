import type { Peer } from "../../socketio/endpoint.ts";
import type { User } from "./identity.ts";
import type { Room } from "./rooms.ts";

/** What the tracker knows of one admitted socket. Plain data: it outlives a reload of the code. */
export interface Session {
  readonly user: User;
  /** Name of this connection in the presence of all nodes. */
  readonly connection: string;
  /** The client said `auth.v` 2 and gets more than the original sends (T-10.2). */
  readonly detailed: boolean;
  /** Epoch milliseconds at which its token ends; moved by `renew_token`. */
  expires: number;
  /** Memberships by PIN. */
  readonly rooms: Map<string, LocalRoom>;
  /** When it was last told that events were dropped, as `clock.elapsed()` counts. */
  toldAt: number;
}

export type TrackerPeer = Peer<Session>;

/** A room with members on this node. */
export interface LocalRoom extends Room {
  readonly topics: Topics;
  readonly peers: Set<TrackerPeer>;
  /** Some member, here or on another node, is detailed: moves are sent in both forms. */
  detailed: boolean;
}

/** The Socket.IO rooms of one room: detailed members get another form of `move`, so they sit apart. */
export interface Topics {
  readonly plain: string;
  readonly detailed: string;
}

/** The instance in a topic keeps the members of an earlier room with this PIN out (T-6.6). */
export function topicsOf({ pin, instance }: Pick<Room, "pin" | "instance">): Topics {
  return { plain: `${pin}.${instance}`, detailed: `${pin}.${instance}+` };
}
