import { expect, test } from "bun:test";
import { BodyTooLarge, readBody } from "../../src/http/body.ts";

function request(body: string | ReadableStream<Uint8Array> | null): Request {
  return new Request("http://localhost/", { method: "POST", body });
}

test("a body within the limit is read whole", async () => {
  expect(await readBody(request("x".repeat(10)), 10)).toEqual(new TextEncoder().encode("x".repeat(10)));
  expect(await readBody(request(null), 10)).toHaveLength(0);
});

test("a body that grows past the limit is refused without reading the rest", async () => {
  let produced = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      produced += 1024;
      controller.enqueue(new Uint8Array(1024));
    },
  });
  await expect(readBody(request(endless), 10_000)).rejects.toBeInstanceOf(BodyTooLarge);
  expect(produced).toBeLessThan(100_000);
});

test("an announced length past the limit is refused at once", async () => {
  let read = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull() {
        read = true;
      },
    },
    { highWaterMark: 0 },
  );
  const announced = new Request("http://localhost/", { method: "POST", body, headers: { "content-length": "11" } });
  await expect(readBody(announced, 10)).rejects.toBeInstanceOf(BodyTooLarge);
  expect(read).toBe(false);
});
