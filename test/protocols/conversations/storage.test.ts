import { afterAll, describe, expect, test } from "bun:test";
import postgres, { type Sql } from "postgres";
import { ManualClock } from "../../support/clock.ts";
import { postgresUrl } from "../../support/postgres.ts";
import { dig, draft, pageIn, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

const unlimited = { CONVERSATIONS_MESSAGES_PER_MINUTE: "100000", CONVERSATIONS_EVENTS_BURST: "10000" };

async function withSql<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = postgres((await stages.database()).databaseUrl!, { max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

describe.if(postgresUrl !== undefined)("in the database", () => {
  test("V-6.1 to V-6.3 rooms and messages brought over from the original system stay valid", async () => {
    const stage = await stages.start();
    const [buyer, seller] = [await stage.person(), await stage.person()];
    const id = `${buyer.id}.${seller.id}`;
    const ids = ["5f8d0d55b54764421b7156d1", "5f8d0d55b54764421b7156d2", "5f8d0d55b54764421b7156d3"];
    const times = ids.map((_, index) => `2020-10-19T03:00:0${index}.120Z`);
    await withSql(async (sql) => {
      await sql`
        insert into conversations.rooms (id, type, buyer, seller, shop_id, creator, buyer_info, shop, created_at,
          updated_at, last_created_at, buyer_last_message_id, seller_last_message_id, seller_unseen)
        values (${id}, 'BS', ${buyer.id}, ${seller.id}, '7', ${buyer.id}, '{"name":"Ann"}', '{}', ${times[0]!},
          ${times[2]!}, ${times[2]!}, ${ids[2]!}, ${ids[2]!}, 3)`;
      for (const [index, _id] of ids.entries())
        await sql`
          insert into conversations.messages (id, room_id, sender, receiver, type, content, created_at, updated_at)
          values (${_id}, ${id}, ${buyer.id}, ${seller.id}, 'TEXT', ${`old ${index}`}, ${times[index]!}, ${times[index]!})`;
    });
    const client = await stage.client({ person: seller });
    const mark = { room_id: id, from: seller.id, to: buyer.id, last_message_id: ids[1] };
    expect(await client.ask("seen_messages", mark)).toEqual({ status: true, unseen: 1 });
    const room = { id, buyer, seller };
    expect(await client.ask("new_message", draft(room, "seller", "new"))).toMatchObject({ status: true });
    const { body } = await stage.call(seller, "GET", `/messages?room_id=${id}&before=${ids[2]}`);
    expect(pageIn(body).data).toMatchObject([
      { _id: ids[1], content: "old 1", is_seen: true, created_at: times[1] },
      { _id: ids[0], content: "old 0", is_seen: true, created_at: times[0] },
    ]);
    const list = await stage.call(buyer, "GET", "/rooms?role=BUYER");
    expect(dig(list.body, "rooms", 0)).toMatchObject({ _id: id, buyer_last_message: { content: "new" } });
  });

  test("V-6.5 whatever happens to a room at once, its history, counters and floors agree", async () => {
    const [here, there] = [await stages.start({ env: unlimited }), await stages.start({ env: unlimited })];
    const room = await here.room();
    const seller = await here.client({ person: room.seller });
    const buyers = [
      await here.client({ person: room.buyer, role: "BUYER" }),
      await there.client({ person: room.buyer, role: "BUYER", generation: 4 }),
    ];
    const seen = (id: unknown) =>
      seller.ask("seen_messages", { room_id: room.id, from: room.seller.id, to: room.buyer.id, last_message_id: id });
    const act = (method: string, path: string) =>
      there.call(room.seller, method, `/rooms/${room.id}${path}`, { role: "SELLER" });
    for (let round = 0; round < 5; round++) {
      const sent = buyers.flatMap((client) =>
        Array.from({ length: 10 }, () => client.ask("new_message", draft(room, "buyer", "x"))),
      );
      const others = [
        Promise.any(sent).then((answer) => seen(dig(answer, "message", "_id"))),
        act("DELETE", ""),
        act("PUT", "/enable"),
        act("POST", "/pin"),
        seller.ask("new_message", draft(room, "seller", "y")),
      ];
      for (const answer of await Promise.all([...sent, ...others])) {
        if ("text" in answer) expect(answer.status).toBe(200);
        else expect(answer).toMatchObject({ status: true });
      }
    }
    const [counted] = await withSql(
      (sql) => sql`
        select seller_unseen, last_created_at = max(m.created_at) as newest, count(distinct m.created_at)::int as times,
          (count(*) filter (where receiver = seller and not is_seen and m.created_at > seller_deleted_at))::int as unseen
        from conversations.rooms join conversations.messages m on room_id = rooms.id
        where rooms.id = ${room.id} group by rooms.id`,
    );
    expect(counted).toEqual({ seller_unseen: counted!.unseen, newest: true, times: 105, unseen: counted!.unseen });
    const { body } = await here.call(room.seller, "GET", "/rooms/unseen");
    expect(body.unseen_messages).toBe(counted!.unseen);
  });

  test("V-6.4 V-6.20 V-6.23 without Kafka domain events are kept, and nothing looks after relaying them", async () => {
    const clock = new ManualClock(Date.now());
    const stage = await stages.start({ clock });
    const room = await stage.room();
    for (let i = 0; i < 20; i++) {
      clock.advance(1_000);
      // Lets tasks run.
      expect((await stage.call(null, "GET", "/healthz")).status).toBe(200);
    }
    await withSql(async (sql) => {
      expect(await sql`select type, relayed_at from conversations.outbox where room_id = ${room.id}`).toMatchObject([
        { type: "room.created", relayed_at: null },
      ]);
      expect(await sql`select name from conversations.leases`).toHaveLength(0);
    });
  });
});
