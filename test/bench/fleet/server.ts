import type postgres from "postgres";
import type { Usage } from "../usage.ts";

/** A watcher's way in. */
export interface WatcherLogin {
  readonly user_id: number;
  readonly SESSID: string;
}

/** What the load of a fleet is sent to, with a database of its own behind it. */
export interface FleetServer {
  readonly port: number;
  readonly sql: postgres.Sql;
  usage(): Usage;
  /** Makes units `load-1` and up, without keys; gives their numbers. */
  units(count: number): Promise<number[]>;
  /** Makes somebody who may see these units. */
  watcher(number: number, uids: readonly number[]): Promise<WatcherLogin>;
  stop(): Promise<void>;
}
