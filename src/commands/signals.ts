import type { EventEmitter } from "node:events";
import type { Clock } from "../clock.ts";

/** Milliseconds in which one signal may come twice: `bun run` hands on the Ctrl-C that the terminal gives to everybody. */
const ECHO = 200;

/** Resolves at the first of these signals; `again` is called at each later one, unless it is an echo of the first. */
export function firstOf(
  signals: readonly NodeJS.Signals[],
  { source, clock, again }: { source: Pick<EventEmitter, "on">; clock: Clock; again: () => void },
): Promise<void> {
  return new Promise((resolve) => {
    let first: { readonly signal: string; readonly at: number } | null = null;
    for (const signal of signals) {
      source.on(signal, () => {
        const at = clock.elapsed();
        if (first && (first.signal !== signal || at - first.at > ECHO)) again();
        first ??= { signal, at };
        resolve();
      });
    }
  });
}
