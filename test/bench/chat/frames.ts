import { textFrame } from "../client/frames.ts";

/**
 * The frames of the chat load. Every message has a number of seven digits, which stands at the end of its text and of
 * its temp id: so what comes back ends in it too and can be told apart and counted without parsing JSON.
 */

/** Messages a run may send. */
export const MAX_MESSAGES = 10_000_000;

const DIGITS = 7;
/** Where a confirmation and a delivery begin to differ: `{"type":"MessageS..` and `{"type":"MessageR..`. */
const KIND_AT = '{"type":"Message'.length;
const ZERO = 0x30;

const digits = (number: number) => String(number).padStart(DIGITS, "0");
const words = (number: number) => `A message of the length that people write, ${digits(number)}`;

/** The message as a client sends it. */
export const sendFrame = (room: string, number: number): Uint8Array =>
  textFrame(
    `{"type":"SendMessage","data":{"room_id":${room},"message":"${words(number)}","message_temp_id":"${digits(number)}"}}`,
  );

/** The confirmation its sender gets. */
export const confirmationText = (number: number): string =>
  `{"type":"MessageSentConfirmation","data":{"confirmed":true,"reason":"","message_id":"${digits(number)}"}}`;

/** What everybody else in the room gets. */
export const deliveryText = (room: string, sender: string, number: number): string =>
  `{"type":"MessageReceived","data":{"room_id":${room},"sender_id":"${sender}","message":"${words(number)}"}}`;

/** Whether the frame at `start` is a confirmation; else it is a delivery. */
export const isConfirmation = (bytes: Uint8Array, start: number): boolean => bytes[start + KIND_AT] === 0x53;

/** The number in the frame of this length that begins at `start`. */
export function numberOf(bytes: Uint8Array, start: number, length: number): number {
  const end = start + length - '"}}'.length;
  let number = 0;
  for (let at = end - DIGITS; at < end; at++) number = number * 10 + (bytes[at]! - ZERO);
  return number;
}
