import { type Codec, MESSAGE, type Outgoing, type Packet, parseBase64, parsePacket, parseUtf8 } from "./packet.ts";

/** The type of a message where a whole byte is spent on it. */
const MESSAGE_BYTE = 4;
const TEXT = 0;
const BINARY = 1;
const LENGTH_END = 255;
/** Digits of a length: more than any payload that passes the size limit can need. */
const MAX_DIGITS = 10;

/**
 * Engine.IO revision 3: binary packets start with their type, as a byte in a frame or as `b4<base64>` in text; payloads
 * are `<length>:<packet>` with the length in UTF-16 units, or, when binary is in them and the client can take it,
 * `<0 text | 1 binary><length as one byte a digit><255><packet>` with the length in bytes.
 */
export const revision3: Codec = {
  encodeBinary(data) {
    const frame = Buffer.allocUnsafe(data.length + 1);
    frame[0] = MESSAGE_BYTE;
    frame.set(data, 1);
    return frame;
  },

  encodeBase64: (data) => `b${MESSAGE}${data.toString("base64")}`,

  decodeText(frame) {
    if (frame[0] !== "b") return parsePacket(frame);
    const data = frame[1] === MESSAGE ? parseBase64(frame.slice(2)) : null;
    return data && { type: MESSAGE, data };
  },

  decodeBinary: (frame) => (frame[0] === MESSAGE_BYTE ? { type: MESSAGE, data: frame.subarray(1) } : null),

  encodePayload(packets, base64) {
    if (!base64 && packets.some((packet) => typeof packet !== "string")) return encodeBytes(packets);
    let payload = "";
    for (const packet of packets) {
      const text = typeof packet === "string" ? packet : revision3.encodeBase64(packet);
      payload += `${text.length}:${text}`;
    }
    return payload;
  },

  decodePayload(body, binary) {
    if (binary) return decodeBytes(body);
    const text = parseUtf8(body);
    return text === null ? null : decodeCharacters(text);
  },
};

function decodeCharacters(text: string): Packet[] | null {
  const packets: Packet[] = [];
  let at = 0;
  do {
    const colon = text.indexOf(":", at);
    const digits = colon < 0 ? "" : text.slice(at, colon);
    if (!/^[1-9]\d{0,9}$/.test(digits)) return null;
    at = colon + 1 + Number(digits);
    const packet = at > text.length ? null : revision3.decodeText(text.slice(colon + 1, at));
    if (packet === null) return null;
    packets.push(packet);
  } while (at < text.length);
  return packets;
}

function encodeBytes(packets: readonly Outgoing[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const packet of packets) {
    const bytes = typeof packet === "string" ? Buffer.from(packet) : revision3.encodeBinary(packet);
    const digits = Array.from(String(bytes.length), Number);
    parts.push(Uint8Array.of(typeof packet === "string" ? TEXT : BINARY, ...digits, LENGTH_END), bytes);
  }
  return Buffer.concat(parts);
}

function decodeBytes(body: Buffer): Packet[] | null {
  const packets: Packet[] = [];
  let at = 0;
  do {
    const kind = body[at++];
    let length = 0;
    let digits = 0;
    for (; body[at] !== LENGTH_END; at++) {
      const digit = body[at];
      if (digit === undefined || digit > 9 || ++digits > MAX_DIGITS) return null;
      length = length * 10 + digit;
    }
    const start = at + 1;
    at = start + length;
    if (at > body.length) return null;
    const packet = decodePart(kind, body.subarray(start, at));
    if (packet === null) return null;
    packets.push(packet);
  } while (at < body.length);
  return packets;
}

function decodePart(kind: number | undefined, bytes: Buffer): Packet | null {
  if (kind === BINARY) return revision3.decodeBinary(bytes);
  const text = kind === TEXT ? parseUtf8(bytes) : null;
  return text === null ? null : revision3.decodeText(text);
}
