import type { VehicleRecord } from "./vehicle.ts";

/** What carries a simulated vehicle's records to the gateway, and commands back. */
export interface Tracker {
  /** Sends a record; false while that is not possible. */
  report(record: VehicleRecord): boolean;
  close(): void;
}

/** Where a simulated unit reports, and as whom. */
export interface UnitLogin {
  /** Public address of the gateway, without a last slash. */
  readonly url: string;
  readonly unit: string;
  readonly key: string;
  readonly pndKey: string;
}

/** Told of what goes on. */
export interface UnitEvents {
  /** The gateway has stored a record. */
  stored(): void;
  /** A command has come. */
  commanded(): void;
  /** A link ended, or a report was not taken. */
  failed(reason: string): void;
}
