import { percentile, Samples } from "../statistics.ts";

/** Milliseconds between two looks at the event loop. */
const LOOK = 5;

/** What the load client itself cost in a stretch of time. */
export interface ClientCost {
  readonly seconds: number;
  readonly cpu: number;
  /** Part of one core. */
  readonly share: number;
  /** 99th percentile of how late the event loop came to a timer, in milliseconds. */
  readonly lag: number;
}

/** Starts to watch this process; the returned function ends the watch and tells. */
export function watchClient(): () => ClientCost {
  const lags = new Samples();
  const started = performance.now();
  const before = process.cpuUsage();
  let due = started + LOOK;
  const timer = setInterval(() => {
    const now = performance.now();
    lags.add(Math.max(0, now - due));
    due = now + LOOK;
  }, LOOK);
  return () => {
    clearInterval(timer);
    const { user, system } = process.cpuUsage(before);
    const seconds = (performance.now() - started) / 1000;
    const cpu = (user + system) / 1e6;
    return { seconds, cpu, share: cpu / seconds, lag: lags.count === 0 ? 0 : percentile(lags.sorted(), 0.99) };
  };
}
