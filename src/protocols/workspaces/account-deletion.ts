import { eq } from "drizzle-orm";
import { accounts } from "../../accounts/tables.ts";
import type { Changes } from "./changes.ts";
import type { Departures } from "./departures.ts";
import { errors } from "./errors.ts";
import type { Files } from "./files.ts";
import type { Notices } from "./notices.ts";
import type { People } from "./people.ts";
import type { Statuses } from "./status.ts";
import { connections } from "./tables.ts";

/** The end of an account, and of all that goes with it (W-4.24). */
export class AccountDeletion {
  readonly #parts: {
    readonly changes: Changes;
    readonly departures: Departures;
    readonly files: Files;
    readonly notices: Notices;
    readonly people: People;
    readonly statuses: Statuses;
  };

  constructor(parts: {
    changes: Changes;
    departures: Departures;
    files: Files;
    notices: Notices;
    people: People;
    statuses: Statuses;
  }) {
    this.#parts = parts;
  }

  /** Throws `still_admin`. */
  async run(userId: string): Promise<void> {
    const { changes, departures, files, notices, people, statuses } = this.#parts;
    changes.mustReachOthers();
    await changes.ofUser(userId, async (change) => {
      const { tx } = change;
      const user = await statuses.lock(change, userId);
      if (!user) return;
      if (await people.isAdminSomewhere(userId, tx)) throw errors.fault("still_admin");
      const sockets = await tx.select({ id: connections.id }).from(connections).where(eq(connections.userId, userId));
      for (const id of await people.workspacesOf(userId, tx)) await departures.leaveWorkspace(change, user, id);
      const images = await files.ofAccount(userId, tx);
      await tx.delete(accounts).where(eq(accounts.id, userId));
      change.after(() => {
        notices.close(sockets.map(({ id }) => id));
        void files.forget(images);
      });
    });
  }
}
