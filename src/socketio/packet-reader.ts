import { Decoder, type Packet, PacketType } from "socket.io-parser";

/**
 * Reads a packet from one message. Text packets are read here and not by socket.io's decoder, which takes too narrow a
 * view of what a client may send: it ends a connection over the payload of a CONNECT that is no object, or over an
 * event with a reserved name, where that is for the namespace to decide. Packets with attachments are left to it.
 *
 * @returns the packet, or the decoder that waits for its attachments
 * @throws on what is no packet
 */
export function readPacket(message: string | Buffer): Packet | Decoder {
  if (typeof message !== "string") throw new Error("attachment without a packet");
  const type = message.charCodeAt(0) - 0x30;
  if (type !== PacketType.BINARY_EVENT && type !== PacketType.BINARY_ACK) return readText(type, message);
  const decoder = new Decoder();
  decoder.add(message);
  return decoder;
}

/**
 * Gives a decoder its next attachment.
 *
 * @returns the packet once it is complete, until then null
 * @throws on text
 */
export function readAttachment(decoder: Decoder, message: string | Buffer): Packet | null {
  let packet: Packet | null = null;
  decoder.once("decoded", (decoded) => {
    packet = decoded;
  });
  decoder.add(message);
  decoder.off("decoded");
  return packet;
}

/** `<type>[<namespace>,][<id>][<JSON>]` */
function readText(type: PacketType, text: string): Packet {
  let at = 1;
  let nsp = "/";
  if (text[at] === "/") {
    const comma = text.indexOf(",", at);
    const end = comma < 0 ? text.length : comma;
    nsp = text.slice(at, end);
    at = end + 1;
  }
  // A CONNECT has no id: digits are a payload like any other.
  if (type === PacketType.CONNECT) return { type, nsp, data: parse(text, at) };
  const start = at;
  while (isDigit(text.charCodeAt(at))) at++;
  const packet: Packet = { type, nsp, data: parse(text, at) };
  if (at > start) packet.id = Number(text.slice(start, at));
  if (!isValid(packet)) throw new Error("invalid packet");
  return packet;
}

function parse(text: string, from: number): unknown {
  return from >= text.length ? undefined : JSON.parse(from === 0 ? text : text.slice(from));
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Whether a client may send this packet after CONNECT. */
function isValid({ type, data, id }: Packet): boolean {
  if (id !== undefined && !Number.isSafeInteger(id)) return false;
  switch (type) {
    case PacketType.EVENT:
      return Array.isArray(data) && (typeof data[0] === "string" || typeof data[0] === "number");
    case PacketType.ACK:
      return Array.isArray(data) && id !== undefined;
    case PacketType.DISCONNECT:
      return data === undefined;
    default:
      return false;
  }
}
