import type { Consumer, Kafka, Producer } from "kafkajs";
import type { Log } from "../../observe/log.ts";

/** Milliseconds a broker has for an answer, and a connection to come about. */
const REQUEST_TIMEOUT = 5_000;
const CONNECT_TIMEOUT = 3_000;

/** A message on its way to a topic. */
export interface KafkaMessage {
  readonly key: string;
  readonly value: string;
}

/** Makes clients of Kafka. The library is loaded with the first, so that nobody pays for it who has no Kafka (V-6.23). */
export class KafkaClients {
  readonly #brokers: readonly string[];
  readonly #log: Log;
  #kafka: Promise<Kafka> | null = null;

  constructor(brokers: readonly string[], log: Log) {
    this.#brokers = brokers;
    this.#log = log;
  }

  producer(topic: string): KafkaProducer {
    return new KafkaProducer(() => this.#client(), topic);
  }

  consumer(group: string, topic: string, take: (value: string) => Promise<void>): KafkaConsumer {
    return new KafkaConsumer(() => this.#client(), { group, topic, take, log: this.#log });
  }

  #client(): Promise<Kafka> {
    this.#kafka ??= import("kafkajs").then(
      ({ Kafka }) =>
        new Kafka({
          clientId: "patchbay",
          brokers: [...this.#brokers],
          requestTimeout: REQUEST_TIMEOUT,
          connectionTimeout: CONNECT_TIMEOUT,
          // Whoever uses a client tries again himself, and says so in our own log.
          retry: { retries: 0 },
          logCreator: () => (entry) => {
            this.#log.debug({ namespace: entry.namespace, text: entry.log.message }, "kafka");
          },
        }),
    );
    return this.#kafka;
  }
}

/** Sends messages to one topic. */
export class KafkaProducer {
  readonly #client: () => Promise<Kafka>;
  readonly #topic: string;
  #producer: Producer | null = null;

  constructor(client: () => Promise<Kafka>, topic: string) {
    this.#client = client;
    this.#topic = topic;
  }

  /**
   * Sends messages; those of one key keep their order. Resolves when all in-sync replicas have them. Rejects when the
   * brokers do not confirm; some may have got there all the same.
   */
  async send(messages: readonly KafkaMessage[]): Promise<void> {
    const producer = await this.#connected();
    try {
      await producer.send({ topic: this.#topic, acks: -1, timeout: REQUEST_TIMEOUT, messages: [...messages] });
    } catch (error) {
      // What it knows of the brokers may be why; the next one asks anew.
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const producer = this.#producer;
    this.#producer = null;
    await producer?.disconnect().catch(() => {});
  }

  async #connected(): Promise<Producer> {
    if (this.#producer) return this.#producer;
    const { Partitioners } = await import("kafkajs");
    const kafka = await this.#client();
    // The partitioner of Kafka's own clients: others that write to the topic put a room's events in the same place.
    const producer = kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: true,
    });
    await producer.connect();
    this.#producer = producer;
    return producer;
  }
}

/** Takes messages from one topic, together with the other nodes of its group. */
export class KafkaConsumer {
  readonly #client: () => Promise<Kafka>;
  readonly #options: {
    readonly group: string;
    readonly topic: string;
    readonly take: (value: string) => Promise<void>;
    readonly log: Log;
  };
  #consumer: Consumer | null = null;
  #away = false;

  constructor(
    client: () => Promise<Kafka>,
    options: { group: string; topic: string; take: (value: string) => Promise<void>; log: Log },
  ) {
    this.#client = client;
    this.#options = options;
  }

  /** Sees to it that messages are taken. To be called again and again; never rejects. */
  async run(): Promise<void> {
    if (this.#consumer) return;
    const { group, topic, take, log } = this.#options;
    const kafka = await this.#client();
    const consumer = kafka.consumer({ groupId: group, retry: { retries: 0 } });
    this.#consumer = consumer;
    // It gives up when its broker does not answer; the next call begins anew.
    consumer.on(consumer.events.CRASH, () => this.#drop(consumer));
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: false });
      await consumer.run({ eachMessage: ({ message }) => take(message.value?.toString() ?? "") });
      if (this.#away) log.info({ topic }, "topic is read again");
      this.#away = false;
    } catch (error) {
      if (!this.#away) log.warn({ topic, error }, "topic cannot be read");
      this.#away = true;
      this.#drop(consumer);
    }
  }

  async close(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = null;
    await consumer?.disconnect().catch(() => {});
  }

  #drop(consumer: Consumer): void {
    if (this.#consumer === consumer) this.#consumer = null;
    consumer.disconnect().catch(() => {});
  }
}
