import type { Side } from "./room-name.ts";
import type { rooms } from "./tables.ts";

/** A room as it is stored. */
export type StoredRoom = typeof rooms.$inferSelect;

/** What a room keeps for one side. */
export interface SideState {
  readonly lastMessageId: string | null;
  readonly unseen: number;
  readonly pinnedAt: Date | null;
  readonly deleted: boolean;
  /** Floor of the history: what was created up to here is gone for this side (V-3.39). */
  readonly deletedAt: Date | null;
}

/** The state of one side. */
export function stateOf(room: StoredRoom, side: Side): SideState {
  return side === "BUYER"
    ? {
        lastMessageId: room.buyerLastMessageId,
        unseen: room.buyerUnseen,
        pinnedAt: room.buyerPinnedAt,
        deleted: room.buyerDeleted,
        deletedAt: room.buyerDeletedAt,
      }
    : {
        lastMessageId: room.sellerLastMessageId,
        unseen: room.sellerUnseen,
        pinnedAt: room.sellerPinnedAt,
        deleted: room.sellerDeleted,
        deletedAt: room.sellerDeletedAt,
      };
}

/** Columns to set for a change of one side's state. */
export function columnsOf(side: Side, state: Partial<SideState>): Partial<StoredRoom> {
  const prefix = side === "BUYER" ? "buyer" : "seller";
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => [prefix + key[0]!.toUpperCase() + key.slice(1), value]),
  );
}

/** True for a room that a side has not deleted, or that got a message since (V-6.6). */
export function isVisible(room: StoredRoom, side: Side): boolean {
  const { deleted, deletedAt } = stateOf(room, side);
  if (!deleted) return true;
  return room.lastCreatedAt !== null && (deletedAt === null || room.lastCreatedAt > deletedAt);
}
