import { expect, setDefaultTimeout, test } from "bun:test";
import { Deadlines } from "../../../src/socketio/engine/deadlines.ts";
import { ManualClock } from "../../support/clock.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

test("items fall due in order, each after the same time", () => {
  const clock = new ManualClock();
  const due: string[] = [];
  const deadlines = new Deadlines<string>(clock, 100, (item) => due.push(item));
  deadlines.set("a");
  clock.advance(50);
  deadlines.set("b");
  clock.advance(49);
  expect(due).toEqual([]);
  clock.advance(1);
  expect(due).toEqual(["a"]);
  clock.advance(50);
  expect(due).toEqual(["a", "b"]);
});

test("setting an item again starts its time anew; deleting takes it out", () => {
  const clock = new ManualClock();
  const due: string[] = [];
  const deadlines = new Deadlines<string>(clock, 100, (item) => due.push(item));
  deadlines.set("a");
  deadlines.set("b");
  clock.advance(60);
  deadlines.set("a");
  expect([deadlines.delete("b"), deadlines.delete("b")]).toEqual([true, false]);
  clock.advance(99);
  expect(due).toEqual([]);
  clock.advance(1);
  expect(due).toEqual(["a"]);
});

test("an item that was set again falls behind those set since", () => {
  const clock = new ManualClock();
  const due: string[] = [];
  const deadlines = new Deadlines<string>(clock, 100, (item) => due.push(item));
  deadlines.set("a");
  deadlines.set("b");
  clock.advance(60);
  deadlines.set("a");
  clock.advance(40);
  expect(due).toEqual(["b"]);
  clock.advance(60);
  expect(due).toEqual(["b", "a"]);
});

test("an item may set itself and delete others while it falls due", () => {
  const clock = new ManualClock();
  const due: string[] = [];
  const deadlines = new Deadlines<string>(clock, 100, (item) => {
    due.push(item);
    if (item === "a" && due.length < 3) deadlines.set("a");
    deadlines.delete("b");
  });
  deadlines.set("a");
  deadlines.set("b");
  deadlines.set("c");
  clock.advance(1000);
  expect(due).toEqual(["a", "c", "a"]);
});
