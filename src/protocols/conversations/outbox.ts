import type { Orm } from "../../database/database.ts";
import type { JsonObject } from "./messages.ts";
import { outbox } from "./tables.ts";

/** Kinds of domain events (V-6.15 to V-6.19). */
export type DomainEventType = "message.created" | "room.created" | "room.deleted" | "messages.seen" | "user.blocked";

/** Writes a domain event in the transaction of the change it tells (V-6.4). The room's row must be held. */
export async function record(tx: Orm, type: DomainEventType, roomId: string, payload: JsonObject, at: Date) {
  await tx.insert(outbox).values({ id: crypto.randomUUID(), type, roomId, payload, createdAt: at });
}
