import { expect, setDefaultTimeout, test } from "bun:test";
import {
  decodeValues,
  encodeValues,
  type NodeMessageInput,
  pack,
  unpack,
} from "../../../src/socketio/adapter/node-message.ts";
import { Random } from "../../support/random.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

test("a text broadcast travels as text, its packet untouched", () => {
  const wire = pack({ type: "emit", rooms: ["r"] }, ['2["x","line\\nfeed"]']);
  expect(wire).toBe('{"type":"emit","rooms":["r"]}\n2["x","line\\nfeed"]');
  expect(unpack(wire)).toEqual({
    message: { type: "emit", rooms: ["r"], except: [] },
    packet: ['2["x","line\\nfeed"]'],
  });
});

test("any names, texts and attachments come out as they went in", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  for (let round = 0; round < 500; round++) {
    const names = Array.from({ length: random.below(4) }, () => random.text(random.below(8)).toWellFormed());
    const message: NodeMessageInput = { type: "emit", rooms: names, except: names.slice(1), volatile: true };
    const text = random.text(random.below(30)).toWellFormed();
    const attachments = Array.from({ length: random.below(4) }, () => random.bytes(random.below(20)));
    const read = unpack(pack(message, [text, ...attachments]));
    expect(read.message, `seed ${seed}, round ${round}`).toEqual(message as never);
    expect(read.packet, `seed ${seed}, round ${round}`).toEqual([text, ...attachments]);
  }
});

test("values of every kind travel as a packet", () => {
  const values = [1, "text", null, { deep: [{ bytes: Buffer.from([1, 2]) }] }, Buffer.from("x"), ["a"]];
  const { packet } = unpack(pack({ type: "event" }, encodeValues(values)));
  expect(decodeValues(packet)).toEqual(values);
  const many = Array.from({ length: 50 }, (_, number) => Buffer.from([number]));
  expect(decodeValues(encodeValues(many))).toEqual(many);
});

test.each(["", "\n", "{}\n", '{"type":"emit","rooms":7}\n', '{"type":"nonsense"}\n', "[1]\n"])(
  "what no node would send is refused: %j",
  (wire) => {
    expect(() => unpack(wire)).toThrow();
    expect(() => unpack(Buffer.from(wire))).toThrow();
  },
);
