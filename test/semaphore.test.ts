import { describe, expect, test } from "bun:test";
import { Semaphore } from "../src/semaphore.ts";

class Refused extends Error {}

const semaphore = (permits: number, maxWaiting: number, patience?: number) =>
  new Semaphore({ permits, maxWaiting, refusal: () => new Refused(), ...(patience === undefined ? {} : { patience }) });

/** Work that says when it began and ends when it is told to. */
function work() {
  const begin = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const run = () => {
    begin.resolve();
    return end.promise;
  };
  return { run, begun: begin.promise, end: end.resolve };
}

describe("Semaphore", () => {
  test("runs as many at a time as it has permits, the others in order", async () => {
    const turns = semaphore(2, 10);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const one = (index: number) =>
      turns.run(async () => {
        most = Math.max(most, ++running);
        order.push(index);
        await null;
        running--;
      });
    await Promise.all([0, 1, 2, 3, 4, 5].map(one));
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("turns away who finds the line full, and nobody else", async () => {
    const turns = semaphore(1, 1);
    const first = work();
    const running = turns.run(first.run);
    const waiting = turns.run(async () => "served");
    await expect(turns.run(async () => "never")).rejects.toBeInstanceOf(Refused);
    first.end();
    expect(await waiting).toBe("served");
    await running;
  });

  test("turns away who waited too long, and forgets him", async () => {
    const turns = semaphore(1, 10, 5);
    const first = work();
    const running = turns.run(first.run);
    await first.begun;
    let ran = false;
    const impatient = turns.run(async () => {
      ran = true;
    });
    await expect(impatient).rejects.toBeInstanceOf(Refused);
    first.end();
    await running;
    expect(await turns.run(async () => "next")).toBe("next");
    expect(ran).toBe(false);
  });

  test("a failure gives its permit back", async () => {
    const turns = semaphore(1, 10);
    const failed = turns.run(async () => {
      throw new Error("failed");
    });
    await expect(failed).rejects.toThrow("failed");
    expect(await turns.run(async () => "next")).toBe("next");
  });

  test("is idle when the last one is done", async () => {
    const turns = semaphore(1, 10);
    await turns.idle();
    const [first, second] = [work(), work()];
    const both = [turns.run(first.run), turns.run(second.run)];
    let isIdle = false;
    const idle = turns.idle().then(() => {
      isIdle = true;
    });
    first.end();
    await second.begun;
    expect(isIdle).toBe(false);
    second.end();
    await idle;
    await Promise.all(both);
  });
});
