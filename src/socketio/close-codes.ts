/** Codes of the WebSocket close frames the binding sends. A client on polling sees its session closed, no more. */

/** A packet that is none, or makes no sense where it comes. */
export const MALFORMED = 1007;
/** More events than may wait for their turn. */
export const TOO_MANY_EVENTS = 1008;
/** The node is going. */
export const DRAINED = 1012;
/** No namespace joined in time. */
export const NOT_JOINED = 4408;
