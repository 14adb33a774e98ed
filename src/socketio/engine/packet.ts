/** The one-character type in front of every Engine.IO packet, the same in revisions 3 and 4. */
export const OPEN = "0";
export const CLOSE = "1";
export const PING = "2";
export const PONG = "3";
export const MESSAGE = "4";
export const UPGRADE = "5";
export const NOOP = "6";

/** A packet of a client. Only messages may be binary. */
export interface Packet {
  readonly type: string;
  readonly data: string | Buffer;
}

/** A packet for a client: the text of a packet, its type included, or the bytes of a binary message. */
export type Outgoing = string | Buffer;

/** Engine.IO revisions this engine speaks: 3 for Socket.IO 1 and 2, 4 for Socket.IO 3 and 4. */
export type Revision = 3 | 4;

/** How one revision puts packets on the wire. A decoder answers null for anything that is not valid. */
export interface Codec {
  /** A binary message as one WebSocket frame. */
  encodeBinary(data: Buffer): Buffer;
  /** A binary message for a client that takes text alone. */
  encodeBase64(data: Buffer): string;
  /** One text frame. */
  decodeText(frame: string): Packet | null;
  /** One binary frame. */
  decodeBinary(frame: Buffer): Packet | null;
  /** The body of a polling answer: bytes where the revision has a binary form and `base64` does not rule it out. */
  encodePayload(packets: readonly Outgoing[], base64: boolean): string | Buffer;
  /** The body of a polling POST; `binary` when its content type says so. */
  decodePayload(body: Buffer, binary: boolean): Packet[] | null;
}

/** Takes a text packet apart; null when its type is none of Engine.IO. */
export function parsePacket(text: string): Packet | null {
  const code = text.charCodeAt(0);
  return code >= 0x30 && code <= 0x36 ? { type: text[0] as string, data: text.slice(1) } : null;
}

/** Decodes base64; null where `Buffer.from` would skip over what does not belong there. */
export function parseBase64(text: string): Buffer | null {
  try {
    return Buffer.from(Uint8Array.fromBase64(text).buffer);
  } catch {
    return null;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes UTF-8; null for bytes that are not. */
export function parseUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}
