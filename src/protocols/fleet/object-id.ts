import { randomBytes } from "node:crypto";

/** Five bytes of this process, in the middle of every id: two processes never make the same one. */
const origin = randomBytes(5).toString("hex");
let counter = randomBytes(3).readUIntBE(0, 3);

/** A new id of 24 lower-case hex characters in the layout of BSON's ObjectId: seconds, process, counter. */
export function objectId(now: number): string {
  counter = (counter + 1) % 0x1000000;
  const seconds = Math.floor(now / 1000) % 0x100000000;
  return seconds.toString(16).padStart(8, "0") + origin + counter.toString(16).padStart(6, "0");
}
