import { RawChannel } from "./channel.ts";
import type { Channel, RawTopics } from "./endpoint.ts";
import type { Hub } from "./hub.ts";

/** Fan-out of one endpoint: Bun's native publish under the endpoint's own prefix. */
export class Topics implements RawTopics<unknown> {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  publish(topic: string, text: string, except?: Channel<unknown>): void {
    const { server, topicPrefix, meters } = this.#hub;
    // Without a server no socket has come yet.
    if (!server) return;
    const name = topicPrefix + topic;
    // A socket's own publish leaves that socket out.
    const own = except instanceof RawChannel ? except.socket : undefined;
    const readers = server.subscriberCount(name) - (own?.isSubscribed(name) ? 1 : 0);
    if (readers === 0) return;
    const result = own ? own.publish(name, text) : server.publish(name, text);
    meters.sent.value += readers;
    if (result <= 0) this.#hub.pressed(result === 0);
  }

  count(topic: string): number {
    const { server, topicPrefix } = this.#hub;
    return server?.subscriberCount(topicPrefix + topic) ?? 0;
  }

  *channels(): Generator<Channel<unknown>> {
    for (const connection of this.#hub.heartbeat.members()) {
      if (connection.channel.open) yield connection.channel;
    }
  }
}
