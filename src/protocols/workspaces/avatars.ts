import { Semaphore } from "../../semaphore.ts";
import { errors } from "./errors.ts";

/** Sides of the squares an avatar is made to fit in, in pixels, largest first (W-3.20). */
export const AVATAR_SIDES = [512, 256, 128, 64, 32] as const;
export type AvatarSide = (typeof AVATAR_SIDES)[number];

/** Name of the file of one size. */
export const avatarFile = (id: string, side: AvatarSide) => `${id}-${side}x${side}.webp`;

/**
 * Pixels of an upload, more than phones make. Checked before anything is decoded, so that a small file which claims a
 * huge canvas costs nothing; decoded they take four bytes each.
 */
const MAX_PIXELS = 25_000_000;
const FORMATS: ReadonlySet<Bun.Image.Format> = new Set(["png", "jpeg", "webp"]);
/** Uploads that may wait for their turn, each with its bytes in memory. */
const MAX_WAITING = 16;

/** One at a time on a node, since each may take a hundred megabytes. Bun decodes on threads of its own: no socket waits. */
const turns = new Semaphore({ permits: 1, maxWaiting: MAX_WAITING, refusal: () => errors.fault("unavailable") });

/**
 * An uploaded PNG, JPEG or WebP as WebP in every size, never enlarged. What is served was encoded here: nothing else that
 * the upload held, like where a photo was taken, or a page behind an image's first bytes, gets through. Throws
 * `unsupported_media` and `unavailable`.
 */
export function drawAvatar(upload: Uint8Array): Promise<Map<AvatarSide, Uint8Array>> {
  return turns.run(async () => {
    const drawn = new Map<AvatarSide, Uint8Array>();
    try {
      const { format } = await open(upload).metadata();
      if (!FORMATS.has(format)) throw errors.fault("unsupported_media");
      let source = upload;
      for (const side of AVATAR_SIDES) {
        // Each is made of the one before, so that the upload is decoded once.
        source = await open(source).resize(side, side, { fit: "inside", withoutEnlargement: true }).webp().bytes();
        drawn.set(side, source);
      }
    } catch (error) {
      if (isImageError(error)) throw errors.fault("unsupported_media", { cause: error });
      throw error;
    }
    return drawn;
  });
}

const open = (bytes: Uint8Array) => new Bun.Image(bytes, { maxPixels: MAX_PIXELS });

/** True for what Bun says of bytes that are no image it can read, or too large a one. */
function isImageError(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_IMAGE_");
}
