/** Parts a wait is counted in. */
const PARTS = 10;

/**
 * Calls `task` when this process has waited for `ms` milliseconds, by the system's clock, and was able to hear of what it
 * waits for: a moment in which the machine let it stand still counts for one part at most. After such a moment timers go
 * off before anything is read that came meanwhile.
 *
 * @returns ends the wait
 */
export function afterPatience(ms: number, task: () => void): () => void {
  let left = PARTS;
  const timer = setInterval(() => {
    if (--left > 0) return;
    clearInterval(timer);
    task();
  }, ms / PARTS);
  return () => clearInterval(timer);
}
