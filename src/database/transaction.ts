import { AsyncLocalStorage } from "node:async_hooks";

const inside = new AsyncLocalStorage<{ over: boolean }>();

/** Runs the body of a transaction so that {@link refuseInsideTransaction} knows of it. */
export async function asTransaction<T>(body: () => Promise<T>): Promise<T> {
  const transaction = { over: false };
  try {
    return await inside.run(transaction, body);
  } finally {
    transaction.over = true;
  }
}

/**
 * Throws when the caller runs within a transaction. A statement that goes past the transaction's own handle waits, in
 * the embedded database, for the very transaction that waits for it, and everybody else waits with them; on Postgres it
 * takes a second connection, until all of them wait like that. It is a fault of ours and shows on both in the same way.
 */
export function refuseInsideTransaction(): void {
  if (inside.getStore()?.over === false) {
    throw new Error("a transaction is open here: run the statement through its handle, or after it");
  }
}
