import { sql } from "drizzle-orm";
import type { Orm } from "../../database/database.ts";
import { userCalls } from "./tables.ts";

/** Somebody came to these people: a call more of each pair (W-8.11). */
export async function countCalls(tx: Orm, userId: string, others: readonly string[], now: Date): Promise<void> {
  const pairs = others
    .flatMap((otherId) => [
      { userId, otherId, callsCount: 1, latestCall: now },
      { userId: otherId, otherId: userId, callsCount: 1, latestCall: now },
    ])
    // One order for everybody, so that two who count the same pairs do not wait for each other.
    .sort((a, b) => (a.userId + a.otherId < b.userId + b.otherId ? -1 : 1));
  if (pairs.length === 0) return;
  await tx
    .insert(userCalls)
    .values(pairs)
    .onConflictDoUpdate({
      target: [userCalls.userId, userCalls.otherId],
      set: { callsCount: sql`${userCalls.callsCount} + 1`, latestCall: now },
    });
}
