/**
 * Who brought a session to its end; `lost` when the connection went away without a close packet. A close frame alone is
 * `lost` too: it comes from a page that is reloaded, or a phone that changes its network, as from a person who leaves.
 */
export type EndedBy = "client" | "server" | "lost";

/** Why a session ended, as its `close` listeners are told. Socket.IO hands it on as the reason of `disconnect`. */
export type CloseReason =
  | "transport close"
  | "transport error"
  | "ping timeout"
  | "parse error"
  | "forced close"
  | "slow reader"
  | "oversize"
  | "listener fault";

/** How a session ends. */
export interface Ending {
  readonly reason: CloseReason;
  readonly by: EndedBy;
  /** Code of the WebSocket close frame, sent or received. Socket.IO clients do not read it; people and proxies do. */
  readonly code: number;
  /** Text of the close frame. */
  readonly text?: string;
}

/** No close frame arrived (RFC 6455, 7.4.1); never sent. */
export const ABNORMAL = 1006;

/** The endings the engine decides on, and those it finds out about on polling. */
export const ENDINGS = {
  /** `close()`, or the end of `closeAfterFlush()`. */
  closed: { reason: "forced close", by: "server", code: 1000 },
  /** The client sent a close packet. */
  left: { reason: "transport close", by: "client", code: 1000 },
  /** A poll or a POST was cut off. */
  cutOff: { reason: "transport error", by: "lost", code: ABNORMAL },
  /** Two polls or two POSTs at once, which would put the order of packets at risk. */
  overlap: { reason: "transport error", by: "server", code: 1008 },
  /** Nothing heard within the heartbeat. */
  silent: { reason: "ping timeout", by: "lost", code: 4012 },
  /** Bytes that are no packet, or a packet that a client must not send. */
  malformed: { reason: "parse error", by: "server", code: 1007 },
  /** A frame or body over `maxHttpBufferSize`. */
  oversize: { reason: "oversize", by: "server", code: 1009 },
  /** More than `maxOutboxBytes` waited for the client. */
  slow: { reason: "slow reader", by: "server", code: 4008 },
  /** A listener of the application threw. */
  fault: { reason: "listener fault", by: "server", code: 1011 },
} as const satisfies Record<string, Ending>;
