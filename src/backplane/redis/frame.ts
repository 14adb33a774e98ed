/** A message on its way to other nodes. */
export interface Outgoing {
  readonly topic: string;
  /** The only node it is for, or null for all. */
  readonly to: string | null;
  /** Sent as it is when its turn comes: the bytes must not be changed after they were handed over. */
  readonly message: string | Uint8Array;
}

/** What a reader of frames does with them. */
export interface FrameReader {
  /** False when nobody here wants the topic, whose message is then not even decoded. */
  wants(topic: string): boolean;
  message(topic: string, message: string | Uint8Array): void;
}

/*
 * A frame is what one node publishes to one partition at a time. All numbers are big-endian.
 *
 *   version u8, sequence u48, then for each message:
 *   flags u8, node length u8, topic length u32, body length u32, node, topic, body
 */
const version = 1;
const headerBytes = 7;
const messageHeaderBytes = 10;
const binaryFlag = 1;

/** Bytes a message takes in a frame. */
export function messageBytes({ topic, to, message }: Outgoing): number {
  return messageHeaderBytes + (to?.length ?? 0) + Buffer.byteLength(topic) + Buffer.byteLength(message);
}

/** Writes one frame. `sequence` counts the frames of this node and partition. */
export function encodeFrame(sequence: number, messages: readonly Outgoing[]): Buffer {
  const frame = Buffer.allocUnsafe(messages.reduce((sum, message) => sum + messageBytes(message), headerBytes));
  frame.writeUInt8(version, 0);
  frame.writeUIntBE(sequence, 1, 6);
  let at = headerBytes;
  for (const { topic, to, message } of messages) {
    const head = at;
    at += messageHeaderBytes;
    const nodeLength = to === null ? 0 : frame.write(to, at, "latin1");
    at += nodeLength;
    const topicLength = frame.write(topic, at);
    at += topicLength;
    const bodyStart = at;
    if (typeof message === "string") at += frame.write(message, at);
    else {
      frame.set(message, at);
      at += message.byteLength;
    }
    frame.writeUInt8(typeof message === "string" ? 0 : binaryFlag, head);
    frame.writeUInt8(nodeLength, head + 1);
    frame.writeUInt32BE(topicLength, head + 2);
    frame.writeUInt32BE(at - bodyStart, head + 6);
  }
  return frame;
}

/** The sequence of a frame, or null when it was written by a later version of this program. */
export function frameSequence(frame: Buffer): number | null {
  return frame[0] === version ? frame.readUIntBE(1, 6) : null;
}

/** Reads the messages of a frame that are for everybody or for `node`, in order. */
export function readFrame(frame: Buffer, node: string, reader: FrameReader): void {
  let at = headerBytes;
  while (at < frame.length) {
    const binary = (frame.readUInt8(at) & binaryFlag) !== 0;
    const nodeLength = frame.readUInt8(at + 1);
    const topicLength = frame.readUInt32BE(at + 2);
    const bodyLength = frame.readUInt32BE(at + 6);
    const topicStart = at + messageHeaderBytes + nodeLength;
    const bodyStart = topicStart + topicLength;
    const bodyEnd = bodyStart + bodyLength;
    const mine = nodeLength === 0 || frame.toString("latin1", topicStart - nodeLength, topicStart) === node;
    at = bodyEnd;
    if (!mine) continue;
    const topic = frame.toString("utf8", topicStart, bodyStart);
    if (!reader.wants(topic)) continue;
    reader.message(
      topic,
      binary ? new Uint8Array(frame.subarray(bodyStart, bodyEnd)) : frame.toString("utf8", bodyStart, bodyEnd),
    );
  }
}
