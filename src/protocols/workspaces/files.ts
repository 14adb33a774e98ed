import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { count, eq } from "drizzle-orm";
import type { Clock } from "../../clock.ts";
import type { Database } from "../../database/database.ts";
import { errors } from "./errors.ts";
import { files, users } from "./tables.ts";
import type { ImageSet, Views } from "./views.ts";

/** Images a user may upload (W-4.27). */
const MAX_FILES = 100;

/** Uploaded avatars. */
export class Files {
  readonly #parts: { readonly database: Database; readonly clock: Clock; readonly views: Views };
  readonly #folder: string | undefined;

  /** @param folder undefined when uploads are not served */
  constructor(parts: { database: Database; clock: Clock; views: Views }, folder: string | undefined) {
    this.#parts = parts;
    this.#folder = folder;
  }

  /** False without a store: the route then answers 404. */
  get open(): boolean {
    return this.#folder !== undefined;
  }

  /** Stores an image. Throws `not_found`, `unsupported_media` or `file_limit`. */
  async store(ownerId: string, bytes: Uint8Array): Promise<ImageSet & { fileId: string }> {
    const { database, clock, views } = this.#parts;
    if (this.#folder === undefined) throw errors.fault("not_found");
    const mime = imageType(bytes);
    if (mime === null) throw errors.fault("unsupported_media");
    const id = crypto.randomUUID();
    // Written under another name first: what has a row is whole.
    await mkdir(this.#folder, { recursive: true });
    const path = join(this.#folder, id);
    await Bun.write(`${path}.part`, bytes);
    await rename(`${path}.part`, path);
    await database.orm.transaction(async (tx) => {
      await tx.select({ id: users.id }).from(users).where(eq(users.id, ownerId)).for("update");
      const [row] = await tx.select({ count: count() }).from(files).where(eq(files.ownerId, ownerId));
      if ((row?.count ?? 0) >= MAX_FILES) throw errors.fault("file_limit");
      await tx.insert(files).values({ id, ownerId, mime, size: bytes.byteLength, createdAt: new Date(clock.now()) });
    });
    return { ...views.imageSet(id), fileId: id };
  }
}

const startsWith = (bytes: Uint8Array, signature: readonly number[], at = 0) =>
  signature.every((byte, index) => bytes[at + index] === byte);

/** The type of an image by its content; null for anything but PNG, JPEG and WebP. */
export function imageType(bytes: Uint8Array): string | null {
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return "image/png";
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return "image/jpeg";
  if (startsWith(bytes, [0x52, 0x49, 0x46, 0x46]) && startsWith(bytes, [0x57, 0x45, 0x42, 0x50], 8))
    return "image/webp";
  return null;
}
