import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FORBIDDEN, fault, shown } from "./answers.ts";
import { pageIn, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("messages", () => {
  test("V-3.29 V-3.35 V-3.36 V-3.37 pages by every bound", async () => {
    const room = await stage.room();
    const sent = await stage.say(room, "buyer", ...Array.from({ length: 20 }, (_, i) => String(i)));
    const read = async (query: string) => {
      const { body, status } = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}${query}`);
      expect(status).toBe(200);
      return {
        body,
        texts: pageIn(body)
          .data.map(({ content }) => content)
          .join(" "),
      };
    };
    const first = await read("");
    expect(first.texts).toBe("19 18 17 16 15 14 13 12 11 10 9 8 7 6 5");
    expect(first.body).toMatchObject({ filters: { message_count: 15, from: null, to: null }, has_more: true });
    const second = await read(`&from=${sent[5]!.created_at}`);
    expect(second.texts).toBe("4 3 2 1 0");
    expect(second.body).toMatchObject({ filters: { from: sent[5]!.created_at }, has_more: false });
    expect((await read(`&limit=3&created_at=1&to=${Date.parse(sent[3]!.created_at)}`)).texts).toBe("4 5 6");
    expect((await read(`&to=${sent[3]!.created_at.replace("Z", "")}&from=${sent[6]!.created_at}`)).texts).toBe("5 4");
    expect((await read(`&before=${sent[3]!._id}`)).texts).toBe("2 1 0");
    expect((await read(`&after=${sent[16]!._id}&from=${sent[19]!.created_at}`)).texts).toBe("18 17");
    for (const limit of ["1000", "99999999999999999999"])
      expect((await read(`&limit=${limit}`)).texts.split(" ")).toHaveLength(20);
    for (const wide of ["from=9999-12-31T23:59:59.999Z", "to=0001-01-01"])
      expect((await read(`&limit=200&${wide}`)).texts.split(" ")).toHaveLength(20);
    expect((await read("&limit=")).texts).toBe(first.texts);
    expect((await read("&limit=2&limit=5")).texts).toBe("19 18");
  });

  test("V-8.13 V-3.38 bad queries, and rooms that are none", async () => {
    const room = await stage.room();
    const read = (query: string) => stage.call(room.seller, "GET", `/messages?${query}`);
    const bad: [string, string][] = [
      ["limit=0", "limit"],
      ["limit=-1", "limit"],
      ["limit=many", "limit"],
      ["from=yesterday", "from"],
      ["to=2026-13-01T00:00:00Z", "to"],
      ["to=2026-02-29", "to"],
      ["from=2026-04-31T10:00:00%2B07:00", "from"],
      ["to=99999999999999999", "to"],
      ["to=8640000000000000", "to"],
      ["from=10000-01-01", "from"],
      ["from=0000-12-31", "from"],
      ["from=-62135596800001", "from"],
      ["before=nonsense", "before"],
      ["after=nonsense", "after"],
    ];
    for (const [query, field] of bad) {
      expect(shown(await read(`room_id=${room.id}&${query}`))).toEqual(fault(400, "BAD_REQUEST", `Invalid ${field}`));
    }
    for (const path of ["/messages", "/messages/unseen"]) {
      for (const id of ["undefined", "", `${room.seller.id}.nobody`, "%00", "a.b.c"]) {
        const { status, body } = await stage.call(room.seller, "GET", `${path}?room_id=${id}`);
        expect([status, body.data]).toEqual([200, []]);
      }
      expect(shown(await stage.call(room.seller, "GET", `${path}?room_id=a.b`))).toEqual(FORBIDDEN);
    }
  });

  test("V-3.30 what a reader has not seen, oldest first", async () => {
    const room = await stage.room();
    const sent = await stage.say(room, "buyer", "a", "b", "c");
    await stage.say(room, "seller", "mine");
    await stage.call(room.seller, "PUT", `/rooms/${room.id}/seen`, { role: "SELLER", up_to: sent[0]!._id });
    const { body } = await stage.call(
      room.seller,
      "GET",
      `/messages/unseen?room_id=${room.id}&user_id=${room.seller.id}`,
    );
    expect(pageIn(body).data.map(({ content }) => content)).toEqual(["b", "c"]);
    const until = await stage.call(
      room.seller,
      "GET",
      `/messages/unseen?room_id=${room.id}&from=${sent[1]!.created_at}`,
    );
    expect(pageIn(until.body).data.map(({ content }) => content)).toEqual(["b"]);
    expect(until.body.filters).toEqual({ message_count: 1, from: sent[1]!.created_at, to: null });
  });

  test("V-3.39 nothing below the floor, whatever is asked", async () => {
    const room = await stage.room();
    const sent = await stage.say(room, "buyer", "old 1", "old 2");
    await stage.call(room.seller, "DELETE", `/rooms/${room.id}`);
    await stage.say(room, "buyer", "new");
    await stage.call(room.seller, "PUT", `/rooms/${room.id}/enable`, { role: "SELLER" });
    for (const query of ["", "&to=0", `&after=${sent[0]!._id}`, "&created_at=1"]) {
      const { body } = await stage.call(room.seller, "GET", `/messages?room_id=${room.id}${query}`);
      expect(pageIn(body).data.map(({ content }) => content)).toEqual(["new"]);
    }
    expect((await stage.call(room.seller, "GET", "/rooms/unseen?role=SELLER")).body.unseen_messages).toBe(1);
  });
});
