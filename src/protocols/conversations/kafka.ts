import type { Admin, Consumer, Kafka, Producer } from "kafkajs";
import type RequestQueue from "kafkajs/src/network/requestQueue/index.js";
import type { Log } from "../../observe/log.ts";

/** Milliseconds a broker has for an answer, and a connection to come about. */
const REQUEST_TIMEOUT = 5_000;
const CONNECT_TIMEOUT = 3_000;
/** Milliseconds until others of its group take over what a node that died was reading. */
const SESSION_TIMEOUT = 10_000;
/** Milliseconds a broker keeps a question for new messages. It holds up the end of a node, and a group that changes. */
const FETCH_WAIT = 1_000;
/** The offset of a partition of which a group has read nothing. */
const NO_PLACE = "-1";

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
    this.#kafka ??= this.#load();
    return this.#kafka;
  }

  async #load(): Promise<Kafka> {
    const [{ Kafka }, { default: RequestQueue }] = await Promise.all([
      import("kafkajs"),
      import("kafkajs/src/network/requestQueue/index.js"),
    ]);
    letRest(RequestQueue);
    return new Kafka({
      clientId: "patchbay",
      brokers: [...this.#brokers],
      requestTimeout: REQUEST_TIMEOUT,
      connectionTimeout: CONNECT_TIMEOUT,
      // Whoever uses a client tries again himself, and says so in our own log.
      retry: { retries: 0 },
      logCreator: () => (entry) => {
        this.#log.debug({ namespace: entry.namespace, text: entry.log.message }, "kafka");
      },
    });
  }
}

const RESTS = Symbol.for("patchbay: a queue that rests");

/**
 * kafkajs 2.2.4 looks after the waiting requests of every connection each millisecond, for as long as it lives, although
 * none waits (tulios/kafkajs#1704); the negative delay it asks for makes the runtime print a warning (#1751). A request
 * that has to wait sees to it that it is looked after, so otherwise nothing needs to be.
 */
function letRest({ prototype }: typeof RequestQueue): void {
  if (RESTS in prototype) return;
  const { scheduleCheckPendingRequests: schedule } = prototype;
  Object.assign(prototype, {
    [RESTS]: true,
    scheduleCheckPendingRequests(this: RequestQueue) {
      if (this.pending.length > 0) schedule.call(this);
    },
  });
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
    // Others may join while it does, and then it must try again in its place. Having given up it must not come back by
    // itself beside the one that takes its place: each more would make the group share its work anew.
    const retry = { retries: 5, restartOnFailure: async () => false };
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: SESSION_TIMEOUT,
      maxWaitTimeInMs: FETCH_WAIT,
      retry,
    });
    this.#consumer = consumer;
    /** Partitions that this consumer has begun to read; it notes where it stands in them by itself. */
    const begun = new Set<number>();
    // It gives up when its broker does not answer; the next call begins anew.
    consumer.on(consumer.events.CRASH, () => this.#drop(consumer));
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      begun.clear();
      const given = new Set(memberAssignment[topic]);
      const isOpen = (partition: number) => given.has(partition) && !begun.has(partition);
      void this.#notePlaces(consumer, kafka.admin({ retry }), isOpen);
    });
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: false });
      await consumer.run({
        eachMessage: ({ partition, message }) => {
          begun.add(partition);
          return take(message.value?.toString() ?? "");
        },
      });
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

  /**
   * Notes where the group stands in partitions of which it has read nothing. Kafka itself keeps no place there: whoever
   * is given such a partition next would begin with what comes after that, and what came in between would be lost. Never
   * rejects.
   */
  async #notePlaces(consumer: Consumer, admin: Admin, isOpen: (partition: number) => boolean): Promise<void> {
    const { group, topic, log } = this.#options;
    try {
      await admin.connect();
      const ends = await admin.fetchTopicOffsets(topic);
      const [places] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const isNoted = (partition: number) =>
        places?.partitions.some((place) => place.partition === partition && place.offset !== NO_PLACE);
      const open = ends.filter(({ partition }) => isOpen(partition) && !isNoted(partition));
      await consumer.commitOffsets(open.map(({ partition, high }) => ({ topic, partition, offset: high })));
    } catch (error) {
      // Nothing is lost by that alone: only who is given a partition later, without its place, misses what came meanwhile.
      log.info({ topic, error }, "places in a topic were not noted");
    } finally {
      await admin.disconnect().catch(() => {});
    }
  }

  #drop(consumer: Consumer): void {
    if (this.#consumer === consumer) this.#consumer = null;
    consumer.disconnect().catch(() => {});
  }
}
