import type { Contender } from "./contender.ts";
import type { Result } from "./contest.ts";
import type { Stores } from "./stores.ts";

/** What a scenario is given. */
export interface Bench {
  readonly contenders: readonly Contender[];
  readonly stores: Stores;
  readonly rounds: number;
  /** Seconds of load in each measurement. */
  readonly seconds: number;
  /** A smaller and less exact run. */
  readonly quick: boolean;
}

/** A column of a table: a number of the results, or a word made of them. */
export interface Column {
  readonly title: string;
  readonly cell: (result: Result, all: readonly Result[]) => string;
}

/** One table of results. */
export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly results: readonly Result[];
}

/** A question to the servers and how it is put. */
export interface Scenario {
  readonly name: string;
  /** What is done and what is counted, in a few lines. */
  readonly about: string;
  run(bench: Bench): Promise<readonly Table[]>;
}
