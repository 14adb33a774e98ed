/** Waits until all of them have ended, however; then rejects with the first failure, if there is one. */
export async function settle(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
