import { DatabaseUnavailable, type Orm } from "./database.ts";

const limit = 2_000;

/** Resolves when the store answers; rejects with {@link DatabaseUnavailable} when it does not within two seconds. */
export async function answersPing(orm: Orm): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new DatabaseUnavailable("the database does not answer")), limit);
  try {
    await Promise.race([orm.execute("select 1"), late]);
  } finally {
    clearTimeout(timer);
  }
}
