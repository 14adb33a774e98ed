/** Stops a timer. Calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/**
 * Time as the house sees it: every part that waits or stamps takes a clock, so that a test can move time instead of
 * sleeping. All values are milliseconds.
 */
export interface Clock {
  /** Milliseconds since the epoch. May jump when somebody sets the time of the machine. */
  now(): number;
  /** Milliseconds since a moment of the past that stays the same. Never jumps: for durations within this process. */
  elapsed(): number;
  /** Runs `task` once after `ms`. Never keeps the process alive. */
  after(ms: number, task: () => void): Cancel;
  /** Runs `task` every `ms`. Never keeps the process alive. */
  every(ms: number, task: () => void): Cancel;
}

/** The longest time a timer of the runtime can wait; anything above fires at once. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, task) {
    let timer: Timer;
    const wait = (left: number): void => {
      timer = left > LONGEST ? setTimeout(wait, LONGEST, left - LONGEST) : setTimeout(task, left);
      timer.unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
  every(ms, task) {
    const timer = setInterval(task, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
