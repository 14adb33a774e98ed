/** Which of its two people somebody is in a room. */
export type Side = "BUYER" | "SELLER";

export const otherSide = (side: Side): Side => (side === "BUYER" ? "SELLER" : "BUYER");

/** The two people of a room, as its id names them. */
export interface RoomName {
  readonly id: string;
  readonly buyer: string;
  readonly seller: string;
}

/** An id of a person: 1 to 64 characters. */
export const ID = /^[\w-]{1,64}$/;

const ROOM_ID = /^([\w-]{1,64})\.([\w-]{1,64})$/;

/** Reads a room id; null when it is malformed. */
export function roomName(id: string): RoomName | null {
  const [, buyer, seller] = ROOM_ID.exec(id) ?? [];
  return buyer !== undefined && seller !== undefined ? { id, buyer, seller } : null;
}

/** The side of a person in a room; null for a stranger (V-3.5). */
export function sideOf({ buyer, seller }: RoomName, user: string): Side | null {
  if (user === buyer) return "BUYER";
  return user === seller ? "SELLER" : null;
}

/** The person on a side. */
export const personOn = ({ buyer, seller }: Pick<RoomName, "buyer" | "seller">, side: Side): string =>
  side === "BUYER" ? buyer : seller;
