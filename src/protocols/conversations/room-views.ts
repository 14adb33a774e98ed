import { toMessage } from "./message-rows.ts";
import type { Presence } from "./presence.ts";
import type { ListedRoom, RoomList } from "./room-list.ts";
import { otherSide, personOn, type Side } from "./room-name.ts";
import { type StoredRoom, stateOf } from "./side-state.ts";

/** A room as one side sees it (V-3.40 to V-3.42). */
export type RoomView = Readonly<Record<string, unknown>>;

/** Rooms as REST answers and acknowledgements show them. */
export class RoomViews {
  readonly #list: RoomList;
  readonly #presence: Presence;

  constructor(parts: { list: RoomList; presence: Presence }) {
    this.#list = parts.list;
    this.#presence = parts.presence;
  }

  /** One room as it is now; a room that has no row is shown as it was given. */
  async one(room: StoredRoom, side: Side): Promise<RoomView> {
    const listed = (await this.#list.one(room.id, side)) ?? { room, last: null };
    const [view] = await this.all([listed], side);
    return view!;
  }

  async all(listed: readonly ListedRoom[], side: Side): Promise<RoomView[]> {
    const peerOf = (room: StoredRoom) => personOn(room, otherSide(side));
    const online = await this.#presence.online(listed.map(({ room }) => peerOf(room)));
    return listed.map((entry) => view(entry, side, online.has(peerOf(entry.room))));
  }
}

function view({ room, last }: ListedRoom, side: Side, online: boolean): RoomView {
  const { unseen, pinnedAt, deleted, deletedAt } = stateOf(room, side);
  const own = side === "BUYER" ? "buyer" : "seller";
  return {
    _id: room.id,
    type: room.type,
    creator: room.creator,
    buyer: room.buyer,
    seller: room.seller,
    shop_id: room.shopId,
    created_at: room.createdAt.toISOString(),
    updated_at: room.updatedAt.toISOString(),
    ...(room.blockedBy && { blocked_by: room.blockedBy }),
    online,
    __v: 0,
    ...(side === "BUYER" ? { shop: room.shop } : { buyer_info: room.buyerInfo }),
    ...(last && { [`${own}_last_message`]: toMessage(last) }),
    [`${own}_unseen_messages`]: unseen,
    ...(pinnedAt && { [`pinned_by_${own}`]: pinnedAt.toISOString() }),
    [`deleted_by_${own}`]: deleted,
    ...(deletedAt && { [`${own}_deleted_at`]: deletedAt.toISOString() }),
  };
}
