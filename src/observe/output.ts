import pino from "pino";

/** Where finished lines go. */
export interface Output {
  write(line: string): void;
  /** Resolves when every line so far has left the process. */
  flush(): Promise<void>;
}

/** Bytes that may wait for a slow reader of the log. */
const maxWaiting = 4 * 1024 * 1024;

/**
 * Standard output, written beside the event loop: a reader that stands still (a full pipe, a paused terminal) must not
 * stop the gateway. What waits is bounded; lines beyond it are lost, and `dropped` tells how many when reading goes on.
 */
export function standardOutput(dropped: (lines: number) => void): Output {
  let lost = 0;
  // With a minimum length of 0 its flush() would return at once, whatever is still on its way.
  const stream = pino.destination({ dest: 1, sync: false, minLength: 1, maxLength: maxWaiting });
  stream.on("drop", () => {
    lost++;
  });
  stream.on("drain", () => {
    if (lost === 0) return;
    const lines = lost;
    lost = 0;
    dropped(lines);
  });
  return {
    write: (line) => {
      stream.write(line);
    },
    // An error here is the fsync that pipes and terminals do not have, or a reader that is gone: nothing to wait for.
    flush: () => new Promise((resolve) => stream.flush(() => resolve())),
  };
}
