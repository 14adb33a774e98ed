import { randomBytes } from "node:crypto";
import { readBody } from "../../http/body.ts";
import type { Route, RouteContext } from "../../http/routes.ts";
import { badRequest, errors } from "./errors.ts";
import { ImageFolder, type ImageStore } from "./image-store.ts";
import { imageType, imageTypes } from "./image-type.ts";
import type { Requests } from "./requests.ts";

const UPLOADS = "/v1/conversations/uploads";
/** Bytes of a multipart body around the file in it. */
const WRAPPING = 16 * 1024;
const NAME = /^[0-9a-f]{32}\.([a-z]{3,4})$/;
/** A name is never used twice, so what it names never changes. */
const CACHE = "public, max-age=31536000, immutable";

/** What the routes work with. */
export interface UploadParts {
  readonly requests: Requests;
  readonly store: ImageStore;
  readonly maxBytes: number;
  /** Origin in the addresses of images; that of the request if not set. */
  readonly publicUrl: string | undefined;
}

/** V-3.45 to V-3.47. */
export function uploadRoutes({ requests, store, maxBytes, publicUrl }: UploadParts): Route[] {
  const upload: Route = {
    method: "POST",
    path: UPLOADS,
    async handler(context) {
      await requests.user(context);
      const bytes = await fileOf(context, maxBytes);
      const type = imageType(bytes);
      if (!type) throw errors.fault("UNSUPPORTED_TYPE");
      const name = `${randomBytes(16).toString("hex")}.${type.extension}`;
      await store.save(name, bytes, type.mime);
      const url = store.publicUrl(name) ?? `${publicUrl?.replace(/\/$/, "") ?? originOf(context)}${UPLOADS}/${name}`;
      return Response.json({ status: true, url });
    },
  };
  if (!(store instanceof ImageFolder)) return [upload];
  const serve: Route = {
    method: "GET",
    path: `${UPLOADS}/:name`,
    async handler(context) {
      const name = context.req.param("name") ?? "";
      const type = imageTypes.find(({ extension }) => extension === NAME.exec(name)?.[1]);
      const file = type && (await store.find(name));
      if (!file) throw errors.fault("NOT_FOUND");
      const headers = { "content-type": type.mime, "x-content-type-options": "nosniff", "cache-control": CACHE };
      return new Response(file, { headers });
    },
  };
  return [upload, serve];
}

/** The file in a multipart body. Throws `BAD_REQUEST`, `TOO_LARGE`, and BodyTooLarge while reading. */
async function fileOf(context: RouteContext, maxBytes: number): Promise<Uint8Array> {
  const bytes = await readBody(context.req.raw, maxBytes + WRAPPING);
  const headers = { "content-type": context.req.header("content-type") ?? "" };
  let file: unknown;
  try {
    file = (await new Response(bytes, { headers }).formData()).get("file");
  } catch {
    throw badRequest("file");
  }
  if (!(file instanceof Blob)) throw badRequest("file");
  if (file.size > maxBytes) throw errors.fault("TOO_LARGE");
  return file.bytes();
}

/** The origin as the client sees it: encryption may end at a proxy. */
function originOf(context: RouteContext): string {
  const url = new URL(context.req.url);
  return `${context.env.secure ? "https:" : url.protocol}//${url.host}`;
}
