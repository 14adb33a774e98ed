import type { Log } from "../../observe/log.ts";
import type { TopicListener, Topics } from "../backplane.ts";
import { TopicListeners } from "../listeners.ts";

/** Topics of a lone node: there is nobody else to publish to. */
export class MemoryTopics implements Topics {
  readonly #node: string;
  readonly #listeners: TopicListeners;

  constructor(node: string, log: Log) {
    this.#node = node;
    this.#listeners = new TopicListeners(log);
  }

  publish(): void {}

  subscribe(topic: string, listener: TopicListener): () => void {
    return this.#listeners.add(topic, listener);
  }

  send(node: string, topic: string, message: string | Uint8Array): void {
    // Not within the call: a sender must never meet its own listeners on its stack, with Redis or without.
    if (node === this.#node) queueMicrotask(() => this.#listeners.deliver(topic, message, node));
  }

  async nodes(): Promise<string[]> {
    return [this.#node];
  }
}
