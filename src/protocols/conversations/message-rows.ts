import type { Message } from "./messages.ts";
import type { messages } from "./tables.ts";

/** A message as it is stored. */
export type StoredMessage = typeof messages.$inferSelect;

/** A stored message in a REST answer (V-3.44). */
export function toMessage(row: StoredMessage): Message {
  return {
    _id: row.id,
    room_id: row.roomId,
    from: row.sender,
    to: row.receiver,
    type: row.type,
    content: row.content,
    is_seen: row.isSeen,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
    __v: 0,
  };
}
