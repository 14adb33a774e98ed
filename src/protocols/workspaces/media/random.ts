import { randomBytes } from "node:crypto";

const ROOM_BYTES = 6;
const TOKEN_BYTES = 25;

/** A room number: random, below 2^48, never 0 (W-10.8). */
export function randomRoom(): number {
  for (;;) {
    const room = randomBytes(ROOM_BYTES).readUIntBE(0, ROOM_BYTES);
    if (room !== 0) return room;
  }
}

/** 50 hex characters: a token or the secret of rooms (W-10.8, W-10.11). */
export function randomToken(): string {
  return randomBytes(TOKEN_BYTES).toString("hex");
}
