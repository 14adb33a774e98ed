import * as v from "valibot";
import type { Log } from "../../../observe/log.ts";
import type { Commander } from "../commands/commander.ts";
import type { Mailbox } from "../driver/mailbox.ts";
import { firstMessageFrame, messageFrame, statusFrame } from "../frames.ts";
import { Api, ApiId, PndApi, Uid } from "../messages.ts";
import { objectId } from "../object-id.ts";
import { sendInOrder } from "./lanes.ts";
import type { ClientChannel, Login } from "./session.ts";

/** Something wrong with a query: the field, and the request's id where it has one. */
export interface QueryFault {
  readonly field: string;
  readonly id?: string;
}

/** What an authenticated client asks of a unit (section 4). */
export class Requests {
  readonly #parts: { readonly commander: Commander; readonly mailbox: Mailbox; readonly log: Log };
  readonly #allowed: ReadonlySet<string>;

  /** `allowed`: first words of commands, in any case (F-4.10). */
  constructor(parts: { commander: Commander; mailbox: Mailbox; log: Log }, allowed: readonly string[]) {
    this.#parts = parts;
    this.#allowed = new Set(allowed.map((word) => word.toLowerCase()));
  }

  /** A command to a unit (F-4.6 to F-4.9). Answers by itself; returns what made an answer impossible. */
  api(channel: ClientChannel, login: Login, query: unknown): QueryFault | null {
    const named = v.safeParse(ApiId, query);
    if (!named.success) return { field: fieldOf(named.issues) };
    const { id } = named.output;
    const asked = v.safeParse(Api, query);
    if (!asked.success) {
      const uid = numberIn(query);
      const order = uid ?? 0;
      this.#settle(channel, id, sendInOrder(channel, order, Promise.resolve(statusFrame(uid, id, false))));
      return null;
    }
    const { uid, cmd, CR } = asked.output;
    const word = (cmd.trim().split(/\s+/, 1)[0] ?? "").toLowerCase();
    const may = this.#allowed.has(word) && login.rights.get(uid)?.command === true;
    const { commander } = this.#parts;
    const command = { uid, cmd, cr: CR, asker: { channel: channel.id, id, user: login.user } };
    const status = may ? commander.run(command) : Promise.resolve(commander.refuse(command));
    const frame = status.then((accepted) => statusFrame(uid, id, accepted));
    this.#settle(channel, id, sendInOrder(channel, uid, frame));
    return null;
  }

  /** A message to a driver (F-4.7, F-4.14, F-4.15). Delivery starts when the first answer has left. */
  pndApi(channel: ClientChannel, login: Login, query: unknown, now: number): QueryFault | null {
    const asked = v.safeParse(PndApi, query);
    if (!asked.success) {
      const id = guidIn(query);
      return { field: fieldOf(asked.issues), ...(id === undefined ? {} : { id }) };
    }
    const { uid, content } = asked.output;
    const { type: _, ...given } = content;
    const may = given.user_id === login.user && login.rights.get(uid)?.message === true;
    const { mailbox, log } = this.#parts;
    if (!may) {
      const refused = firstMessageFrame(uid, objectId(now), 2, given);
      void sendInOrder(channel, uid, Promise.resolve(refused));
      return null;
    }
    const stored = mailbox.put(uid, given);
    const frame = stored.then(
      ({ id, txs, content }) => firstMessageFrame(uid, id, txs, content),
      (error) => {
        log.warn({ error }, "a message to a driver could not be stored");
        return firstMessageFrame(uid, objectId(now), 2, given);
      },
    );
    void sendInOrder(channel, uid, frame)
      .then(async () => {
        const message = await stored.catch(() => null);
        if (message?.isNew) await mailbox.deliver(uid, message.id);
        if (message?.isNew !== false) return;
        // It may have moved on since it was looked up, and this socket been told of that before its first answer.
        const txs = await mailbox.txsOf(message.id);
        if (txs !== message.txs) channel.send(messageFrame(uid, message.id, txs));
      })
      .catch((error) => log.warn({ error }, "a message to a driver waits for the next look"));
    return null;
  }

  /** Answers with the request's id wait until its status has left. */
  #settle({ session }: ClientChannel, id: string, sent: Promise<void>): void {
    session.unanswered.set(id, sent);
    void sent.finally(() => {
      if (session.unanswered.get(id) === sent) session.unanswered.delete(id);
    });
  }
}

/** The path of the first field that does not fit. */
export const fieldOf = (issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): string =>
  v.getDotPath(issues[0]) ?? "query";

/** The uid of a faulty request as it is echoed: when it is a number (F-8.4). */
function numberIn(query: unknown): number | undefined {
  const raw = v.safeParse(v.object({ uid: v.unknown() }), query);
  if (!raw.success) return undefined;
  const { uid } = raw.output;
  if (typeof uid === "number" && Number.isFinite(uid)) return uid;
  const text = v.safeParse(Uid, uid);
  return text.success ? text.output : undefined;
}

function guidIn(query: unknown): string | undefined {
  const named = v.safeParse(v.object({ content: v.object({ guid: PndApi.entries.content.entries.guid }) }), query);
  return named.success ? named.output.content.guid : undefined;
}
