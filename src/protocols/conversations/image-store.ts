import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { S3Client } from "bun";

/** Keeps uploaded images under their names. */
export interface ImageStore {
  /** Where the image of this name is publicly served; null when this gateway serves it itself. */
  publicUrl(name: string): string | null;
  save(name: string, bytes: Uint8Array, mime: string): Promise<void>;
}

/** Images in a folder of this machine. */
export class ImageFolder implements ImageStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  publicUrl(): null {
    return null;
  }

  async save(name: string, bytes: Uint8Array): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const path = join(this.#folder, name);
    // Whoever asks for it meanwhile finds nothing, or all of it.
    await Bun.write(`${path}.part`, bytes);
    await rename(`${path}.part`, path);
  }

  /** The stored file; null when there is none. The name must be one that was made here. */
  async find(name: string): Promise<Bun.BunFile | null> {
    const file = Bun.file(join(this.#folder, name));
    return (await file.exists()) ? file : null;
  }
}

/** Where a bucket is; parts that are not set come from the usual variables of S3. */
export interface BucketSettings {
  readonly bucket: string;
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  readonly accessKeyId: string | undefined;
  readonly secretAccessKey: string | undefined;
  readonly publicUrl: string | undefined;
}

/** Images in an S3-compatible bucket. */
export class ImageBucket implements ImageStore {
  readonly #client: S3Client;
  readonly #base: string;

  constructor({ publicUrl, ...settings }: BucketSettings) {
    const given = Object.entries(settings).filter(([, value]) => value !== undefined);
    this.#client = new S3Client(Object.fromEntries(given));
    const { endpoint = `https://s3.${settings.region ?? "us-east-1"}.amazonaws.com`, bucket } = settings;
    this.#base = (publicUrl ?? `${endpoint.replace(/\/$/, "")}/${bucket}`).replace(/\/$/, "");
  }

  publicUrl(name: string): string {
    return `${this.#base}/${name}`;
  }

  async save(name: string, bytes: Uint8Array, mime: string): Promise<void> {
    await this.#client.write(name, bytes, { type: mime });
  }
}
