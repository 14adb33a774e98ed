import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { long, type Subject, short, subjects } from "./subjects.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("records, %s", (_name, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.close());

  test("create makes a record once", async () => {
    const { records } = subject.backplane;
    expect(await records.create("a", { pin: "1" }, long)).toBe(true);
    expect(await records.create("a", { pin: "2" }, long)).toBe(false);
    expect(await records.read("a")).toEqual({ pin: "1" });
  });

  test("of many that create at the same time exactly one succeeds", async () => {
    const { records } = subject.backplane;
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, by) => records.create("race", { by: `${by}` }, long)),
    );
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await records.read("race")).toEqual({ by: String(made.indexOf(true)) });
  });

  test("a record without fields is a record", async () => {
    const { records } = subject.backplane;
    expect(await records.create("bare", {}, long)).toBe(true);
    expect(await records.create("bare", {}, long)).toBe(false);
    expect(await records.read("bare")).toEqual({});
    expect(await records.update("bare", { x: "1" })).toBe(true);
    expect(await records.update("bare", { x: null })).toBe(true);
    expect(await records.take("bare")).toEqual({});
    expect(await records.read("bare")).toBeNull();
  });

  test("any text is a key, a field and a value", async () => {
    const { records } = subject.backplane;
    const odd = 'ü "{}"\0\r\n*\u{1f600}';
    await records.put(odd, { [odd]: odd, __proto__x: "y" }, long);
    expect(await records.read(odd)).toEqual({ [odd]: odd, __proto__x: "y" });
    expect(await records.take(odd)).toEqual({ [odd]: odd, __proto__x: "y" });
  });

  test("update sets and removes fields, and only of a living record", async () => {
    const { records } = subject.backplane;
    await records.put("u", { a: "1", b: "2" }, long);
    expect(await records.update("u", { a: "3", b: null, c: "4" })).toBe(true);
    expect(await records.read("u")).toEqual({ a: "3", c: "4" });
    expect(await records.update("nothing", { a: "1" })).toBe(false);
    expect(await records.read("nothing")).toBeNull();
  });

  test("update changes nothing when something else than expected is there", async () => {
    const { records } = subject.backplane;
    await records.put("e", { state: "open", n: "1" }, long);
    expect(await records.update("e", { state: "shut" }, { state: "open", n: "2" })).toBe(false);
    expect(await records.update("e", { state: "shut" }, { other: "" })).toBe(false);
    expect(await records.read("e")).toEqual({ state: "open", n: "1" });
    expect(await records.update("e", { state: "shut" }, { state: "open", n: "1" })).toBe(true);
    expect(await records.update("e", { state: "shut" }, { state: "open" })).toBe(false);
  });

  test("of many updates that expect the same exactly one succeeds", async () => {
    const { records } = subject.backplane;
    await records.put("cas", { owner: "" }, long);
    const won = await Promise.all(
      Array.from({ length: 50 }, (_, by) => records.update("cas", { owner: `${by}` }, { owner: "" })),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
  });

  test("a record ends with its time, and an update neither prolongs nor revives it", async () => {
    const { records } = subject.backplane;
    await records.put("brief", { a: "1" }, short);
    await records.update("brief", { a: "2" });
    await subject.pass(short);
    expect(await records.read("brief")).toBeNull();
    expect(await records.update("brief", { a: "3" })).toBe(false);
    expect(await records.read("brief")).toBeNull();
    expect(await records.remove("brief")).toBe(false);
    expect(await records.create("brief", { a: "4" }, long)).toBe(true);
  });

  test("put replaces the whole record and its time", async () => {
    const { records } = subject.backplane;
    await records.put("p", { a: "1", b: "2" }, short);
    await records.put("p", { c: "3" }, long);
    await subject.pass(short);
    expect(await records.read("p")).toEqual({ c: "3" });
  });

  test("of many that take a record exactly one gets it", async () => {
    const { records } = subject.backplane;
    await records.put("t", { a: "1" }, long);
    const taken = await Promise.all(Array.from({ length: 20 }, () => records.take("t")));
    expect(taken.filter((record) => record !== null)).toEqual([{ a: "1" }]);
  });

  test("remove says whether there was one", async () => {
    const { records } = subject.backplane;
    await records.put("r", { a: "1" }, long);
    expect(await records.remove("r")).toBe(true);
    expect(await records.remove("r")).toBe(false);
  });
});
