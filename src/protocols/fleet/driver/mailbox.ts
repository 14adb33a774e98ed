import { and, asc, eq, gt, inArray, lt, or } from "drizzle-orm";
import * as v from "valibot";
import type { Backplane } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import type { Counters } from "../counters.ts";
import type { Links } from "../device/links.ts";
import type { Fanout } from "../fanout.ts";
import { type MessageContent, messageFrame } from "../frames.ts";
import { objectId } from "../object-id.ts";
import { messages } from "../tables.ts";

/** Where a message to a driver is (F-5.25 to F-5.29). */
export const TXS = { stored: 0, waiting: 1, refused: 2, sent: 3, received: 4, read: 5 } as const;

const TOPIC = "fleet:messages";
const Delivery = v.object({ uid: v.number(), id: v.string() });

/** Messages that one look brings forward, and the age at which a message that nobody delivers is looked after. */
const BATCH = 200;
const FORGOTTEN = 10_000;

/** What the mailbox works with. */
export interface MailboxParts {
  readonly database: Database;
  readonly backplane: Backplane;
  readonly links: Links;
  readonly fanout: Fanout;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** A stored message as its sender is told of it. */
export interface StoredMessage {
  readonly id: string;
  readonly txs: number;
  readonly content: MessageContent;
  /** False when it had been sent before under the same guid. */
  readonly isNew: boolean;
}

type Row = typeof messages.$inferSelect;

/** By unit: what has to be done before the next thing may be. It outlives a reload of the code. */
export type Turns = Map<number, Promise<void>>;

/** Messages to drivers: stored first, then brought to the app, now or when it comes back (F-4.14, F-12.41, F-12.42). */
export class Mailbox {
  readonly #parts: MailboxParts;
  readonly #ttl: number;
  readonly #turns: Turns;
  readonly #stop: () => void;

  constructor(parts: MailboxParts, ttl: number, turns: Turns) {
    this.#parts = parts;
    this.#ttl = ttl;
    this.#turns = turns;
    this.#stop = parts.backplane.topics.subscribe(TOPIC, (message) => {
      const { uid, id } = v.parse(Delivery, JSON.parse(String(message)));
      this.deliver(uid, id, { here: true }).catch((error) =>
        parts.log.warn({ error }, "a message waits for the next look"),
      );
    });
  }

  /** Stores a message; one with the guid of an earlier one of the same user and unit is that one (F-4.15). */
  async put(uid: number, { txt, user_id: user, user_name: userName, guid }: MessageContent): Promise<StoredMessage> {
    const { database, clock, counters } = this.#parts;
    const at = new Date(clock.now());
    const row = { id: objectId(at.getTime()), uid, user, userName, txt, guid: guid ?? null, txs: TXS.stored };
    const [made] = await database.orm
      .insert(messages)
      .values({ ...row, createdAt: at, changedAt: at })
      .onConflictDoNothing()
      .returning();
    if (made) {
      counters.message(TXS.stored);
      return { ...told(made), isNew: true };
    }
    const same = and(eq(messages.uid, uid), eq(messages.user, user), eq(messages.guid, guid ?? ""));
    const [known] = await database.orm.select().from(messages).where(same);
    if (!known) throw new Error("a message is neither new nor known");
    return { ...told(known), isNew: false };
  }

  /** Where a stored message is by now. */
  async txsOf(id: string): Promise<number> {
    const [row] = await this.#parts.database.orm
      .select({ txs: messages.txs })
      .from(messages)
      .where(eq(messages.id, id));
    return row?.txs ?? TXS.refused;
  }

  /** Brings one message to the unit's app: by the node that has its link, or into the wait for it. */
  async deliver(uid: number, id: string, { here = false } = {}): Promise<void> {
    const { links, backplane } = this.#parts;
    if (!here && !links.here(uid, "pnd")) {
      const link = await links.find(uid, "pnd");
      if (link && link.node !== backplane.node) {
        return backplane.topics.send(link.node, TOPIC, JSON.stringify({ uid, id }));
      }
    }
    await this.#inTurn(uid, async () => {
      if (!links.here(uid, "pnd")) return void (await this.#move([id], [TXS.stored], TXS.waiting));
      for (const row of await this.#move([id], [TXS.stored, TXS.waiting], TXS.sent)) this.#hand(row);
    });
  }

  /** The driver's app is here: it gets what waits and what it never answered, oldest first (F-12.42). */
  welcome(uid: number): Promise<void> {
    return this.#inTurn(uid, async () => {
      const { database, links } = this.#parts;
      const open = and(eq(messages.uid, uid), inArray(messages.txs, [TXS.waiting, TXS.sent]));
      for (let last: Row | undefined; links.here(uid, "pnd"); ) {
        const rows = await database.orm
          .select()
          .from(messages)
          .where(and(open, last && laterThan(last)))
          .orderBy(asc(messages.createdAt), asc(messages.id))
          .limit(BATCH);
        if (rows.length === 0) return;
        const ids = rows.map(({ id }) => id);
        await this.#move(ids, [TXS.waiting], TXS.sent);
        for (const row of rows) this.#hand(row);
        last = rows.at(-1);
      }
    });
  }

  /** What the app says of a message (F-12.40); steps that F-5.30 does not name change nothing. */
  async reported(uid: number, id: string, state: "received" | "read" | "error"): Promise<void> {
    if (state === "received") await this.#move([id], [TXS.sent], TXS.received, uid);
    else if (state === "read") await this.#move([id], [TXS.sent, TXS.received], TXS.read, uid);
    else await this.#move([id], [TXS.sent], TXS.refused, uid);
  }

  /** Gives up on messages whose time is over (F-5.29) and looks after those a dead node left behind. */
  async sweep(): Promise<void> {
    const { database, clock } = this.#parts;
    const before = (age: number) => lt(messages.createdAt, new Date(clock.now() - age));
    const over = await database.orm
      .select({ id: messages.id })
      .from(messages)
      .where(and(inArray(messages.txs, [TXS.stored, TXS.waiting, TXS.sent]), before(this.#ttl)))
      .limit(BATCH);
    await this.#move(
      over.map(({ id }) => id),
      [TXS.stored, TXS.waiting, TXS.sent],
      TXS.refused,
    );
    const forgotten = await database.orm
      .select({ id: messages.id, uid: messages.uid })
      .from(messages)
      .where(and(eq(messages.txs, TXS.stored), before(FORGOTTEN)))
      .limit(BATCH);
    for (const { uid, id } of forgotten) await this.deliver(uid, id);
  }

  close(): void {
    this.#stop();
  }

  /** Moves those messages that are at one of these steps, and tells their senders (F-5.6). Returns the moved ones. */
  async #move(ids: readonly string[], from: readonly number[], to: number, uid?: number): Promise<Row[]> {
    if (ids.length === 0) return [];
    const { database, fanout, counters, clock } = this.#parts;
    const moved = await database.orm
      .update(messages)
      .set({ txs: to, changedAt: new Date(clock.now()) })
      .where(
        and(
          inArray(messages.id, [...ids]),
          inArray(messages.txs, [...from]),
          uid === undefined ? undefined : eq(messages.uid, uid),
        ),
      )
      .returning();
    // A store gives changed rows in any order.
    for (const row of moved.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1))) {
      fanout.toUser(row.user, messageFrame(row.uid, row.id, to));
      counters.message(to);
    }
    return moved;
  }

  /** Writes a message to the app's link. */
  #hand(row: Row): void {
    const { id, content } = told(row);
    this.#parts.links.here(row.uid, "pnd")?.send(JSON.stringify({ t: "msg", id, ...content }));
  }

  #inTurn(uid: number, work: () => Promise<void>): Promise<void> {
    const done = (this.#turns.get(uid) ?? Promise.resolve()).then(work);
    const settled = done
      .catch(() => {})
      .finally(() => {
        if (this.#turns.get(uid) === settled) this.#turns.delete(uid);
      });
    this.#turns.set(uid, settled);
    return done;
  }
}

function told({ id, txs, txt, user, userName, guid }: Row): Omit<StoredMessage, "isNew"> {
  return { id, txs, content: { txt, user_id: user, user_name: userName, ...(guid === null ? {} : { guid }) } };
}

const laterThan = ({ createdAt, id }: Row) =>
  or(gt(messages.createdAt, createdAt), and(eq(messages.createdAt, createdAt), gt(messages.id, id)));
