/** How the chat ends a socket: code, text, and whether the client should come back by itself (section 7). */
export interface Close {
  readonly code: number;
  readonly reason: string;
  readonly comeBack: boolean;
}

const stayAway = (code: number, reason: string): Close => ({ code, reason, comeBack: false });
const comeBack = (code: number, reason: string): Close => ({ code, reason, comeBack: true });

/** Every way in which the chat ends a socket. */
export const closes = {
  noToken: stayAway(4001, "No authentication token provided"),
  badToken: stayAway(4002, "Token validation failed"),
  inactive: stayAway(4003, "Disconnected due to inactivity"),
  kicked: stayAway(4004, "Disconnected by admin"),
  banned: stayAway(4005, "User is banned"),
  serverError: comeBack(4006, "Server error occurred"),
  drain: comeBack(4007, "Server is shutting down"),
  newDevice: stayAway(4008, "New device connection"),
  lost: comeBack(4009, "Connection closed"),
  badFrame: stayAway(4010, "Bad message structure"),
  forbiddenText: stayAway(4011, "Hateful speech or fake information is not permitted on Swappart"),
  unauthorized: stayAway(4012, "Unauthorized action in the chat"),
} as const satisfies Record<string, Close>;

/** The row of a close code; that of a server error for one that is no code of the chat. */
export function closeOf(code: number): Close {
  return Object.values<Close>(closes).find((close) => close.code === code) ?? closes.serverError;
}

/** Bytes that a close frame has for its reason (RFC 6455, 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason short enough for a close frame, cut between characters, so that both frames can say the same (C-7.1). */
export function shortReason(reason: string): string {
  let short = "";
  for (const character of reason.toWellFormed()) {
    if (Buffer.byteLength(short) + Buffer.byteLength(character) > MAX_REASON_BYTES) break;
    short += character;
  }
  return short;
}
