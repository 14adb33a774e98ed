/**
 * The frames of the load. A move carries its sender (a digit in the latitude) and its number (six digits in the
 * longitude); both stand at fixed places and end in a digit that is not 0, so that every server writes the same bytes
 * back and the reader can check each one without parsing JSON.
 */

/** Senders a room may have, and moves a sender may make. */
export const MAX_SENDERS = 10;
export const MAX_MOVES = 1_000_000;

const position = (sender: number, number: number) =>
  `"lat":-37.8${sender}1,"long":144.${String(number).padStart(6, "0")}1`;

/** The move as a client sends it. */
export const moveText = (room: string, sender: number, number: number): string =>
  `42["move",{${position(sender, number)},"roomId":"${room}"}]`;

/** The move as every member of the room gets it. */
export const deliveryText = (sender: number, number: number): string =>
  `42["move",{"details":{"type":"success","msg":{${position(sender, number)}}}}]`;

const sample = deliveryText(0, 0);
const SENDER_AT = sample.indexOf("-37.8") + 5;
const NUMBER_AT = sample.indexOf("144.") + 4;
const ZERO = 0x30;

/** Whether the payload at `start` may be the delivery of a move. */
export const isDelivery = (bytes: Uint8Array, start: number, length: number): boolean =>
  length === sample.length && bytes[start + 4] === 0x6d && bytes[start + 5] === 0x6f;

/** The sender of the delivery whose payload begins at `start`. */
export const deliverySender = (bytes: Uint8Array, start: number): number => bytes[start + SENDER_AT]! - ZERO;

/** The number of the delivery whose payload begins at `start`. */
export function deliveryNumber(bytes: Uint8Array, start: number): number {
  let number = 0;
  for (let at = start + NUMBER_AT; at < start + NUMBER_AT + 6; at++) number = number * 10 + (bytes[at]! - ZERO);
  return number;
}

/** A WebSocket frame of a client. The mask is zero: valid, and the payload needs no pass over its bytes. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const long = payload.length > 125;
  const header = long
    ? [0x80 | opcode, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]
    : [0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0];
  const frame = new Uint8Array(header.length + payload.length);
  frame.set(header);
  frame.set(payload, header.length);
  return frame;
}

const encoder = new TextEncoder();

/** A text frame of a client. */
export const textFrame = (text: string): Uint8Array => clientFrame(1, encoder.encode(text));

/** The opening request of a WebSocket. Its key is constant: nobody checks the answer's. */
export const upgradeRequest = (path: string, headers: Readonly<Record<string, string>>): string =>
  [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: cGF0Y2hiYXkgYmVuY2hlcw==",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");
