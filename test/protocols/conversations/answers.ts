import type { Answer } from "./stage.ts";

/** An answer as it is compared: status and body. */
export const shown = ({ status, body }: Answer) => [status, body];

/** The answer to a request with a fault (V-3.7). */
export const fault = (status: number, code: string, message: string) => [status, { status: false, code, message }];

export const FORBIDDEN = fault(403, "FORBIDDEN", "Forbidden");
export const NO_ROOM = fault(400, "ROOM_NOT_FOUND", "Room not found");
export const ROLE_REQUIRED = fault(400, "ROLE_REQUIRED", "role is required");
export const UNAUTHORIZED = fault(401, "UNAUTHORIZED", "Authentication Error");
