import { availableParallelism } from "node:os";
import { Semaphore } from "../semaphore.ts";
import { PasswordsBusy } from "./accounts.ts";

/**
 * Argon2id with 19 MiB and two passes, the first choice of the OWASP password storage cheat sheet: about 30 ms of one
 * core, so a node checks some thirty passwords a second and core.
 */
const parameters = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;

/** One core is left to the event loop; the hashes run on threads beside it. */
const maxRunning = Math.max(1, availableParallelism() - 1);
/** Whoever comes when so many wait, or waits longer than this many milliseconds, is better told so. */
const maxWaiting = 256;
const patience = 5_000;

/** Hashes and checks passwords, a few at a time. Hashes never leave the accounts. */
export class Passwords {
  readonly #turns = new Semaphore({
    permits: maxRunning,
    maxWaiting,
    patience,
    refusal: () => new PasswordsBusy("too many passwords wait to be hashed"),
  });
  /** Checked against where there is no account, so that an unknown name costs as much time as a wrong password. */
  readonly #nobody = Bun.password.hash(crypto.randomUUID(), parameters);

  /** Throws {@link PasswordsBusy}. */
  hash(password: string): Promise<string> {
    return this.#turns.run(() => Bun.password.hash(password, parameters));
  }

  /** False for a wrong password and, after the same time, for a missing hash. Throws {@link PasswordsBusy}. */
  matches(password: string, hash: string | undefined): Promise<boolean> {
    return this.#turns.run(async () => {
      const fits = await Bun.password.verify(password, hash ?? (await this.#nobody));
      return fits && hash !== undefined;
    });
  }
}
