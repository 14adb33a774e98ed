/** A kind of image that can be uploaded. */
export interface ImageType {
  readonly extension: string;
  readonly mime: string;
}

const JPEG = { extension: "jpg", mime: "image/jpeg" };
const PNG = { extension: "png", mime: "image/png" };
const GIF = { extension: "gif", mime: "image/gif" };
const WEBP = { extension: "webp", mime: "image/webp" };

export const imageTypes: readonly ImageType[] = [JPEG, PNG, GIF, WEBP];

/** What the first bytes of a file say it is (V-3.46); null for anything else. */
export function imageType(bytes: Uint8Array): ImageType | null {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.byteLength)).toString("latin1");
  if (head.startsWith("\xff\xd8\xff")) return JPEG;
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return PNG;
  if (/^GIF8[79]a/.test(head)) return GIF;
  return /^RIFF.{4}WEBP/s.test(head) ? WEBP : null;
}
