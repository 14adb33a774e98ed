import { CLIENT_BOUND } from "./measure.ts";
import { FLOOR } from "./peer.ts";
import type { Column } from "./scenario.ts";

/** The median of a number. */
export const number = (title: string, key: string, digits = 1): Column => ({
  title,
  cell: ({ median }) => shown(median[key], digits),
});

/** Smallest and largest value over the rounds. */
export const spread = (title: string, key: string, digits = 1): Column => ({
  title,
  cell({ samples }) {
    const values = samples.map((sample) => sample[key]!);
    if (values.length === 0) return "-";
    return `${shown(Math.min(...values), digits)}-${shown(Math.max(...values), digits)}`;
  },
});

/** The median of a number as a multiple of the floor's. */
export const againstFloor = (key: string): Column => ({
  title: "x floor",
  cell({ median }, all) {
    const floor = all.find((result) => result.name === FLOOR)?.median[key];
    return floor === undefined ? "-" : shown((median[key] ?? Number.NaN) / floor, 2);
  },
});

/**
 * The circumstances of a measurement: what the load client used of a core, and whether that means that it measured
 * itself; how late its event loop came to its timers; what the rest of the machine used of a core meanwhile.
 */
export const circumstanceColumns: readonly Column[] = [
  {
    title: "client core",
    cell({ median }) {
      const share = median.clientShare ?? Number.NaN;
      return `${shown(share * 100, 0)}%${share > CLIENT_BOUND ? " client-bound" : ""}`;
    },
  },
  number("lag p99 ms", "clientLag"),
  number("others core %", "othersPercent", 0),
];

/** Whether every round was correct: everything answered, every delivery there once and in its sender's order. */
export const verdict: Column = {
  title: "correct",
  cell: ({ failure }) => (failure === null ? "yes" : "FAILED"),
};

function shown(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits);
}
