import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Subject, subjects } from "./subjects.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("presence, %s", (_name, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.close());

  test("counts a member's connections: the first join and the last leave are told", async () => {
    const { presence } = subject.backplane;
    expect(await presence.join("s", "ann", "1")).toEqual({ admitted: true, first: true, count: 1 });
    expect(await presence.join("s", "ann", "2")).toEqual({ admitted: true, first: false, count: 2 });
    expect(await presence.join("s", "bob", "1")).toEqual({ admitted: true, first: true, count: 1 });
    expect(await presence.leave("s", "ann", "1")).toEqual({ last: false, count: 1 });
    expect(await presence.leave("s", "ann", "2")).toEqual({ last: true, count: 0 });
    expect(await presence.leave("s", "ann", "2")).toEqual({ last: false, count: 0 });
    expect(await presence.leave("s", "bob", "1")).toEqual({ last: true, count: 0 });
    expect(await presence.list("s")).toEqual([]);
  });

  test("lists connections with their node and data, of a set or of one member", async () => {
    const { presence, node } = subject.backplane;
    const odd = 'ü "[]"\0/\u{1f600}';
    await presence.join(odd, odd, odd, { data: odd });
    await presence.join(odd, "bob", "b1");
    await presence.join(odd, "bob", "b2", { data: "x" });
    const bobs = [
      { member: "bob", connection: "b1", node, data: "" },
      { member: "bob", connection: "b2", node, data: "x" },
    ];
    expect(await presence.list(odd, odd)).toEqual([{ member: odd, connection: odd, node, data: odd }]);
    expect(await presence.list(odd, "bob")).toEqual(bobs);
    expect(await presence.list(odd)).toHaveLength(3);
    expect(await presence.list(odd)).toEqual(expect.arrayContaining(bobs));
    expect(await presence.list(odd, "nobody")).toEqual([]);
    expect(await presence.list("nothing")).toEqual([]);
  });

  test("tells which of many members are there, asked at once", async () => {
    const { presence } = subject.backplane;
    const here = Array.from({ length: 1_200 }, (_, index) => `here ${index} ü"\0`);
    await Promise.all(here.map((member) => presence.join("many", member, "1")));
    await presence.join("others", "elsewhere", "1");
    await presence.leave("many", here.pop()!, "1");
    const away = Array.from({ length: 1_200 }, (_, index) => `away ${index}`);
    const asked = here.flatMap((member, index) => [away[index]!, member, member]);
    expect([...(await presence.among("many", asked))]).toEqual(here);
    expect(await presence.among("many", new Set(["elsewhere", `here 1199 ü"\0`]))).toEqual(new Set());
    expect(await presence.among("many", [])).toEqual(new Set());
    expect(await presence.among("nothing", here)).toEqual(new Set());
  });

  test("joining again replaces the data and counts once", async () => {
    const { presence, node } = subject.backplane;
    await presence.join("again", "ann", "1", { data: "old" });
    expect(await presence.join("again", "ann", "1", { data: "new" })).toEqual({
      admitted: true,
      first: false,
      count: 1,
    });
    expect(await presence.list("again")).toEqual([{ member: "ann", connection: "1", node, data: "new" }]);
  });

  test("a limit holds against joins at the same time, and never against a connection that is in", async () => {
    const { presence } = subject.backplane;
    const joins = await Promise.all(
      Array.from({ length: 30 }, (_, index) => presence.join("limited", "ann", `${index}`, { limit: 3 })),
    );
    expect(joins.filter(({ admitted }) => admitted)).toHaveLength(3);
    expect(joins.filter(({ first }) => first)).toHaveLength(1);
    expect(joins.filter(({ admitted }) => !admitted).every(({ count, first }) => count === 3 && !first)).toBe(true);
    const [inside] = await presence.list("limited");
    expect(await presence.join("limited", "ann", inside!.connection, { limit: 3, data: "x" })).toEqual({
      admitted: true,
      first: false,
      count: 3,
    });
    expect(await presence.join("limited", "bob", "b", { limit: 0 })).toEqual({
      admitted: false,
      first: false,
      count: 0,
    });
    expect(await presence.list("limited")).toHaveLength(3);
  });
});
