import { expect, test } from "bun:test";
import { encodeFrame, frameSequence, messageBytes, type Outgoing, readFrame } from "../../src/backplane/redis/frame.ts";
import { partitionOf } from "../../src/backplane/redis/outbox.ts";

const messages: Outgoing[] = [
  { topic: "t", to: null, message: "text" },
  { topic: "ü\0", to: null, message: Uint8Array.from([0, 255, 13, 10]) },
  { topic: "t", to: "node-a_1", message: "for a" },
  { topic: "t", to: "node-b", message: "for b" },
  { topic: "", to: null, message: "" },
  { topic: "unwanted", to: null, message: "x".repeat(70_000) },
];

function read(frame: Buffer, node: string): [string, string | Uint8Array][] {
  const got: [string, string | Uint8Array][] = [];
  readFrame(frame, node, {
    wants: (topic) => topic !== "unwanted",
    message: (topic, message) => got.push([topic, message]),
  });
  return got;
}

test("a frame gives back what went in, for everybody and for the node that reads it", () => {
  const frame = encodeFrame(2 ** 40 + 7, messages);
  expect(frameSequence(frame)).toBe(2 ** 40 + 7);
  expect(read(frame, "node-a_1")).toEqual([
    ["t", "text"],
    ["ü\0", Uint8Array.from([0, 255, 13, 10])],
    ["t", "for a"],
    ["", ""],
  ]);
  expect(read(frame, "node-b").map(([, message]) => message)).toContain("for b");
});

test("a message takes the bytes it is counted with", () => {
  const empty = encodeFrame(1, []).length;
  for (const message of messages) expect(encodeFrame(1, [message]).length - empty).toBe(messageBytes(message));
});

test("a frame of a later version is known as such", () => {
  const frame = encodeFrame(1, messages);
  frame[0] = 2;
  expect(frameSequence(frame)).toBeNull();
});

test("a topic is in the same partition for ever", () => {
  const topics = ["", "a", "room:1", "room:2", "ü"];
  expect(topics.map((topic) => partitionOf(topic, 4))).toEqual([1, 0, 3, 2, 3]);
});
