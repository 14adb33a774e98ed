import { randomUUID } from "node:crypto";
import type { KafkaBroker } from "../../support/kafka.ts";

/** Settings of a node with a topic of its own. */
export function topical(broker: KafkaBroker): { topic: string; env: Record<string, string> } {
  const topic = `test-${randomUUID()}`;
  const env = {
    KAFKA_BROKERS: broker.address,
    CONVERSATIONS_KAFKA_TOPIC: topic,
    CONVERSATIONS_AUCTION_TOPIC: `${topic}-auctions`,
    CONVERSATIONS_KAFKA_GROUP: topic,
  };
  return { topic, env };
}
