/** Milliseconds that a statement waits for its turn or for an answer. Servers are told to end statements sooner. */
export const patience = 6_000;

/** Statements that may wait for their turn; beyond it the store counts as away. */
export const maxWaiting = 10_000;
