import type { Counter } from "../../observe/metrics.ts";
import type { Devices } from "./devices.ts";
import type { Mail } from "./mail.ts";
import { detailedMessageFrame, messageFrame, type StoredMessage } from "./messages.ts";
import type { UserChannel } from "./session.ts";

/** Hands stored messages to the sockets of their recipients. */
export class Delivery {
  readonly #devices: Devices;
  readonly #mail: Mail;
  readonly #delivered: Counter;

  constructor(parts: { devices: Devices; mail: Mail; delivered: Counter }) {
    this.#devices = parts.devices;
    this.#mail = parts.mail;
    this.#delivered = parts.delivered;
  }

  /** To all nodes; not to the socket the message came from. */
  everywhere(message: StoredMessage, from: UserChannel): void {
    this.#mail.toAll({ kind: "stored", message: { ...message, participants: [...message.participants] } });
    this.here(message, from);
  }

  /** To the sockets of this node (C-5.4..C-5.6). */
  here(message: StoredMessage, from?: UserChannel): void {
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
          channel.send((session.detailed ? detailed : plain) as string);
        } else if (session.detailed) channel.send(detailedMessageFrame(message, true));
        else continue;
        this.#delivered.value++;
      }
    }
  }
}
