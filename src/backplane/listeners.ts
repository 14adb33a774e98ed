import type { Log } from "../observe/log.ts";
import type { TopicListener } from "./backplane.ts";

/** Who listens to which topic on this node. */
export class TopicListeners {
  readonly #topics = new Map<string, Set<TopicListener>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Adds a listener until the returned function is called. */
  add(topic: string, listener: TopicListener): () => void {
    const listeners = this.#topics.get(topic) ?? new Set();
    // Wrapped, so that one function may listen twice and each of its subscriptions ends by itself.
    const entry: TopicListener = (message, from) => listener(message, from);
    this.#topics.set(topic, listeners.add(entry));
    return () => {
      listeners.delete(entry);
      if (listeners.size === 0 && this.#topics.get(topic) === listeners) this.#topics.delete(topic);
    };
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Hands a message to every listener of its topic; one that throws does not keep it from the others. */
  deliver(topic: string, message: string | Uint8Array, from: string): void {
    const listeners = this.#topics.get(topic);
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        listener(message, from);
      } catch (error) {
        this.#log.error({ err: error }, "topic listener failed");
      }
    }
  }
}
