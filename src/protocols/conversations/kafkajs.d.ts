/** A part of kafkajs that it does not declare; kafka.ts mends a fault in it. */
declare module "kafkajs/src/network/requestQueue/index.js" {
  export default class RequestQueue {
    /** Requests that may not be sent yet: too many are under way, or the broker has asked for a pause. */
    readonly pending: readonly unknown[];
    scheduleCheckPendingRequests(): void;
  }
}
