import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { and, count, eq, notExists } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database, Orm } from "../../database/database.ts";
import type { Log } from "../../observe/log.ts";
import { AVATAR_SIDES, type AvatarSide, avatarFile, drawAvatar } from "./avatars.ts";
import { errors } from "./errors.ts";
import { files, users, workspaces } from "./tables.ts";
import type { ImageSet, Views } from "./views.ts";

/** Images a user may upload (W-4.27). */
const MAX_FILES = 100;
const MIME = "image/webp";

/** Uploaded avatars. */
export class Files {
  readonly #parts: {
    readonly database: Database;
    readonly clock: Clock;
    readonly log: Log;
    readonly views: Views;
  };
  readonly #folder: string | undefined;

  /** @param folder undefined when uploads are not served */
  constructor(parts: { database: Database; clock: Clock; log: Log; views: Views }, folder: string | undefined) {
    this.#parts = parts;
    this.#folder = folder;
  }

  /** False without a store: the route then answers 404. */
  get open(): boolean {
    return this.#folder !== undefined;
  }

  /** Stores an image. Throws `not_found`, `unsupported_media`, `file_limit` or `unavailable`. */
  async store(ownerId: string, upload: Uint8Array): Promise<ImageSet & { fileId: string }> {
    const { database, clock, views } = this.#parts;
    if (this.#folder === undefined) throw errors.fault("not_found");
    await this.#checkLimit(database.orm, ownerId);
    const drawn = await drawAvatar(upload);
    const id = crypto.randomUUID();
    try {
      await this.#write(this.#folder, id, drawn);
      await database.orm.transaction(async (tx) => {
        await tx.select({ id: users.id }).from(users).where(eq(users.id, ownerId)).for("update");
        await this.#checkLimit(tx, ownerId);
        const size = [...drawn.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
        await tx.insert(files).values({ id, ownerId, mime: MIME, size, createdAt: new Date(clock.now()) });
      });
    } catch (error) {
      await this.forget([id]);
      throw error;
    }
    return { ...views.imageSet(id), fileId: id };
  }

  /** What goes with its owner's account: all of his images but those that are the face of a workspace. */
  async ofAccount(ownerId: string, tx: Orm): Promise<string[]> {
    const shown = tx.select({ id: workspaces.id }).from(workspaces).where(eq(workspaces.avatarFileId, files.id));
    const rows = await tx
      .select({ id: files.id })
      .from(files)
      .where(and(eq(files.ownerId, ownerId), notExists(shown)));
    return rows.map(({ id }) => id);
  }

  /** Removes images that are not on record any more. Never rejects. */
  async forget(ids: readonly string[]): Promise<void> {
    const folder = this.#folder;
    if (folder === undefined) return;
    for (const result of await Promise.allSettled(ids.map((id) => erase(folder, id)))) {
      if (result.status === "rejected") this.#parts.log.warn({ error: result.reason }, "an image was not removed");
    }
  }

  async #checkLimit(orm: Orm, ownerId: string): Promise<void> {
    const [row] = await orm.select({ count: count() }).from(files).where(eq(files.ownerId, ownerId));
    if ((row?.count ?? 0) >= MAX_FILES) throw errors.fault("file_limit");
  }

  async #write(folder: string, id: string, drawn: ReadonlyMap<AvatarSide, Uint8Array>): Promise<void> {
    await mkdir(folder, { recursive: true });
    for (const [side, bytes] of drawn) {
      const path = join(folder, avatarFile(id, side));
      // Written under another name first: whoever asks for it meanwhile finds nothing, or all of it.
      await Bun.write(unfinished(path), bytes);
      await rename(unfinished(path), path);
    }
  }
}

const unfinished = (path: string) => `${path}.part`;

async function erase(folder: string, id: string): Promise<void> {
  const paths = AVATAR_SIDES.map((side) => join(folder, avatarFile(id, side)));
  await Promise.all(paths.flatMap((path) => [path, unfinished(path)]).map((path) => rm(path, { force: true })));
}
