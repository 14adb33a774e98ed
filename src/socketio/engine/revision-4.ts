import { type Codec, MESSAGE, type Packet, parseBase64, parsePacket, parseUtf8 } from "./packet.ts";

const SEPARATOR = "\x1e";

/** Engine.IO revision 4: binary is bare in a frame, `b<base64>` in a payload, and 0x1E stands between packets. */
export const revision4: Codec = {
  encodeBinary: (data) => data,

  encodeBase64: (data) => `b${data.toString("base64")}`,

  decodeText(frame) {
    if (frame[0] !== "b") return parsePacket(frame);
    const data = parseBase64(frame.slice(1));
    return data && { type: MESSAGE, data };
  },

  decodeBinary: (frame) => ({ type: MESSAGE, data: frame }),

  encodePayload: (packets) =>
    packets.map((packet) => (typeof packet === "string" ? packet : revision4.encodeBase64(packet))).join(SEPARATOR),

  decodePayload(body, binary) {
    // Payloads of this revision are always text; engine.io for Node refuses others too.
    const text = binary ? null : parseUtf8(body);
    if (text === null) return null;
    const packets: Packet[] = [];
    for (const part of text.split(SEPARATOR)) {
      const packet = revision4.decodeText(part);
      if (packet === null) return null;
      packets.push(packet);
    }
    return packets;
  },
};
