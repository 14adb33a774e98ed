/**
 * Frames to clients (F-5.4), as text: `uid` first, `type` first in params. Those that carry a record take it as JSON that
 * was made once, for the store and for every watcher.
 */

const frame = (uid: number, params: object) => JSON.stringify({ uid, params });

export const authFrame = (success: boolean) => JSON.stringify({ params: { type: "auth", success } });

export const statusFrame = (uid: number | undefined, id: string, status: boolean) =>
  JSON.stringify({ ...(uid === undefined ? {} : { uid }), params: { type: "cmd-status", id, status } });

/** F-5.7. `record` is JSON without `_id`. */
export const recordsFrame = (uid: number, total: number, record: string) =>
  `{"uid":${uid},"params":{"type":"records","total":${total},"lastRecord":${record}}}`;

/** F-5.8 and F-5.9. */
export const eventFrame = (uid: number, subtype: "io" | "event", record: object, event: object) =>
  frame(uid, { type: "event", "sub-type": subtype, record, event });

/** F-5.10. */
export const connectionFrame = (uid: number, type: "connection" | "pnd-connection", status: 0 | 1) =>
  frame(uid, { type, status });

/** F-5.14; `id` for the requester alone. */
export const parsedFrame = (uid: number, subtype: string, cmd: unknown, id?: string) =>
  frame(uid, { type: "cmd-parsed", "sub-type": subtype, cmd, ...(id === undefined ? {} : { id }) });

/** F-5.11 and F-5.12. */
export const driverFrame = (uid: number, type: "pnd-msg" | "pnd-msg-prd" | "form" | "service-generic", event: object) =>
  frame(uid, { type, event });

/** What a message to a driver holds, with the keys of F-5.5. */
export interface MessageContent {
  readonly txt: string;
  readonly user_id: number;
  readonly user_name: string;
  readonly guid?: string;
}

/** F-5.5. */
export const firstMessageFrame = (uid: number, id: string, txs: number, content: MessageContent) =>
  frame(uid, { type: "msg-sts", id, txs, content: { type: "msg", content } });

/** F-5.6. */
export const messageFrame = (uid: number, id: string, txs: number) => frame(uid, { type: "msg-sts", id, txs });

/** F-4.4. */
export function errorFrame(code: string, message: string, more: { id?: string; retry_after_ms?: number } = {}): string {
  return JSON.stringify({ params: { type: "error", code, message, ...more } });
}
