import { asc, count, inArray, isNull, sql } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database } from "../../database/database.ts";
import type { Log } from "../../observe/log.ts";
import type { Counters } from "./counters.ts";
import { isOutage } from "./errors.ts";
import type { KafkaProducer } from "./kafka.ts";
import { DatabaseLease } from "./lease.ts";
import { outbox } from "./tables.ts";

/** Events handed to Kafka at a time. */
const BATCH = 500;
/** Rows removed at a time, so that no statement takes long. */
const PURGE_BATCH = 5_000;
/**
 * Milliseconds the relay of a node that died keeps others out. Longer than a batch can take (see kafka.ts), so that two
 * never relay at once.
 */
const LEASE = 20_000;

/** Brings domain events from the outbox to Kafka (V-6.14, V-6.20, V-6.21): at least once, in order per room. */
export class Relay {
  readonly #parts: {
    readonly database: Database;
    readonly producer: KafkaProducer;
    readonly counters: Counters;
    readonly log: Log;
  };
  readonly #lease: DatabaseLease;
  #away = false;
  #closed = false;
  #backlog = 0;

  constructor(
    parts: { database: Database; producer: KafkaProducer; counters: Counters; log: Log },
    options: { node: string },
  ) {
    this.#parts = parts;
    this.#lease = new DatabaseLease(parts.database, { name: "relay", holder: options.node, life: LEASE });
    parts.counters.backlog(() => this.#backlog);
  }

  /** Relays what waits, if it is this node's turn. To be called again and again; never rejects. */
  async run(): Promise<void> {
    const { log } = this.#parts;
    try {
      while (!this.#closed && (await this.#lease.take()) && (await this.#relayBatch()) === BATCH);
      if (this.#away) log.info({}, "domain events are relayed again");
      this.#away = false;
    } catch (error) {
      if (!this.#away) log.warn({ error: isOutage(error) ? undefined : error }, "domain events wait");
      this.#away = true;
    }
  }

  /** Counts what waits, for the metric. */
  async measure(): Promise<void> {
    const { orm } = this.#parts.database;
    const [waiting] = await orm.select({ count: count() }).from(outbox).where(isNull(outbox.relayedAt));
    this.#backlog = waiting?.count ?? 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#parts.producer.close();
    await this.#lease.release().catch(() => {});
  }

  /** How many events were relayed. */
  async #relayBatch(): Promise<number> {
    const { database, producer, counters } = this.#parts;
    const events = await database.orm
      .select()
      .from(outbox)
      .where(isNull(outbox.relayedAt))
      .orderBy(asc(outbox.sequence))
      .limit(BATCH);
    if (events.length === 0) return 0;
    await producer.send(
      events.map(({ id, type, roomId, payload, createdAt }) => ({
        key: roomId,
        value: JSON.stringify({
          id,
          type,
          version: 1,
          room_id: roomId,
          occurred_at: createdAt.toISOString(),
          data: payload,
        }),
      })),
    );
    const sequences = events.map(({ sequence }) => sequence);
    await database.orm.update(outbox).set({ relayedAt: sql`now()` }).where(inArray(outbox.sequence, sequences));
    counters.relayed.value += events.length;
    return events.length;
  }
}

/** Removes old events: all of them where there is no Kafka, else those that it has (V-6.20). `retention` in ms. */
export async function purgeOutbox(
  { database, clock }: { database: Database; clock: Clock },
  options: { retention: number; relayedOnly: boolean },
): Promise<void> {
  const before = new Date(clock.now() - options.retention).toISOString();
  const removable = options.relayedOnly ? sql`and relayed_at is not null` : sql``;
  for (let removed = PURGE_BATCH; removed === PURGE_BATCH; ) {
    // The oldest alone are looked at: all others are younger.
    const { count: rows } = await database.orm.execute(sql`
      delete from conversations.outbox where sequence in (
        select sequence from (
          select sequence, created_at, relayed_at from conversations.outbox order by sequence limit ${PURGE_BATCH}
        ) as oldest where created_at < ${before}::text::timestamptz ${removable})`);
    removed = rows;
  }
}
