/**
 * Resolves as soon as `condition` holds, looking at it every few milliseconds. For what a store or another process does
 * in its own time; the time limit is the test's.
 */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(5);
}
