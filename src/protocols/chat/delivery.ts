import type { Clock } from "../../clock.ts";
import type { Counter } from "../../observe/metrics.ts";
import type { Devices } from "./devices.ts";
import type { Mail } from "./mail.ts";
import { detailedMessageFrame, messageFrame, type StoredMessage } from "./messages.ts";
import { Overtaking } from "./overtaking.ts";
import type { UserChannel } from "./session.ts";

/**
 * Hands stored messages to the sockets of their recipients. Messages are stored many at a time, so a socket often gets
 * several at once: they leave in one write, which is most of what a delivery costs.
 */
export class Delivery {
  readonly #devices: Devices;
  readonly #mail: Mail;
  readonly #delivered: Counter;
  readonly #overtaking: Overtaking;
  /** Frames on their way out, by socket. */
  #leaving = new Map<UserChannel, string[]>();

  constructor(parts: { devices: Devices; mail: Mail; delivered: Counter; clock: Clock }) {
    this.#devices = parts.devices;
    this.#mail = parts.mail;
    this.#delivered = parts.delivered;
    this.#overtaking = new Overtaking(parts.clock);
  }

  /** To all nodes; not to the socket the message came from. */
  everywhere(message: StoredMessage, from: UserChannel): void {
    this.#mail.toAll({ kind: "stored", message: { ...message, participants: [...message.participants] } });
    this.here(message, from);
  }

  /** To the sockets of this node (C-5.4..C-5.6). */
  here(message: StoredMessage, from?: UserChannel): void {
    if (this.#overtaking.isOver(message)) return;
    // Encoded once for all recipients of a form.
    let plain: string | undefined;
    let detailed: string | undefined;
    for (const user of message.participants) {
      for (const channel of this.#devices.of(user)) {
        const { session } = channel;
        if (session.number === 0 || channel === from) continue;
        if (user !== message.senderId) {
          if (session.detailed) detailed ??= detailedMessageFrame(message, false);
          else plain ??= messageFrame(message);
          this.#send(channel, (session.detailed ? detailed : plain) as string);
        } else if (session.detailed) this.#send(channel, detailedMessageFrame(message, true));
      }
    }
  }

  #send(channel: UserChannel, frame: string): void {
    this.#delivered.value++;
    // After everything that the statement at hand has brought.
    if (this.#leaving.size === 0) setImmediate(() => this.#flush());
    const frames = this.#leaving.get(channel);
    if (frames) frames.push(frame);
    else this.#leaving.set(channel, [frame]);
  }

  #flush(): void {
    const leaving = this.#leaving;
    this.#leaving = new Map();
    for (const [channel, frames] of leaving) channel.sendAll(frames);
  }
}
