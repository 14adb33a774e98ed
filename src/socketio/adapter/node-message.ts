import { Decoder, Encoder, type Packet, PacketType } from "socket.io-parser";
import * as v from "valibot";
import type { Encoded } from "../core.ts";

const names = v.optional(v.array(v.string()), []);
const target = { rooms: names, except: names };
const request = v.number();

const Header = v.variant("type", [
  /** A broadcast, sent on as it is. */
  v.object({ type: v.literal("emit"), ...target, volatile: v.optional(v.boolean()) }),
  /** A broadcast that wants acknowledgements: each node tells its number of clients, then sends each answer. */
  v.object({ type: v.literal("ask"), ...target, volatile: v.optional(v.boolean()), request, timeout: v.number() }),
  v.object({ type: v.literal("join"), ...target, names }),
  v.object({ type: v.literal("leave"), ...target, names }),
  v.object({ type: v.literal("disconnect"), ...target, close: v.boolean() }),
  v.object({ type: v.literal("fetch"), ...target, request }),
  /** `serverSideEmit`; with a request each node sends one answer. */
  v.object({ type: v.literal("event"), request: v.optional(request) }),
  v.object({ type: v.literal("clients"), request, count: v.number() }),
  v.object({ type: v.literal("answer"), request }),
]);

/** What one node says to another about one namespace. What a message carries travels beside it as a packet. */
export type NodeMessage = v.InferOutput<typeof Header>;
/** A message as it is written: empty lists may be left out. */
export type NodeMessageInput = v.InferInput<typeof Header>;

/** `<header>\n<text of the packet>`; with attachments it is bytes, their sizes in front and they themselves at the end. */
export function pack(message: NodeMessageInput, packet: Encoded = []): string | Uint8Array {
  const [text = "", ...attachments] = packet;
  const head = `${JSON.stringify(message)}\n${text}`;
  if (attachments.length === 0) return head;
  const buffers = attachments.map((attachment) => Buffer.from(attachment));
  const sizes = buffers.map((buffer) => buffer.length);
  return Buffer.concat([Buffer.from(`${JSON.stringify(sizes)}\n${head}`), ...buffers]);
}

/** Takes apart what {@link pack} put together; throws on anything else. */
export function unpack(wire: string | Uint8Array): { message: NodeMessage; packet: Encoded } {
  if (typeof wire === "string") return { message: header(wire), packet: [afterLine(wire)] };
  const bytes = Buffer.from(wire.buffer, wire.byteOffset, wire.byteLength);
  const line = bytes.indexOf("\n");
  const sizes = v.parse(v.array(v.number()), JSON.parse(bytes.toString("utf8", 0, line)));
  let end = bytes.length - sizes.reduce((sum, size) => sum + size, 0);
  const text = bytes.toString("utf8", line + 1, end);
  const attachments = sizes.map((size) => {
    end += size;
    return bytes.subarray(end - size, end);
  });
  return { message: header(text), packet: [afterLine(text), ...attachments] };
}

function header(text: string): NodeMessage {
  return v.parse(Header, JSON.parse(text.slice(0, text.indexOf("\n"))));
}

function afterLine(text: string): string {
  return text.slice(text.indexOf("\n") + 1);
}

const encoder = new Encoder();

/** Any values, binary ones included, in the form of a packet. */
export function encodeValues(values: unknown[]): Encoded {
  return encoder.encode({ type: PacketType.ACK, nsp: "/", data: values });
}

/** A packet of another node. Throws on what is none. */
export function decodePacket(encoded: Encoded): Packet {
  let packet: Packet | undefined;
  const decoder = new Decoder({ maxAttachments: Number.POSITIVE_INFINITY });
  decoder.on("decoded", (decoded) => {
    packet = decoded;
  });
  for (const part of encoded) decoder.add(part);
  if (packet === undefined) throw new Error("incomplete packet");
  return packet;
}

/** The values {@link encodeValues} was given. */
export function decodeValues(encoded: Encoded): unknown[] {
  return v.parse(v.array(v.unknown()), decodePacket(encoded).data);
}
