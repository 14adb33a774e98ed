import { BodyTooLarge, readBody } from "../../../http/body.ts";
import type { RouteContext } from "../../../http/routes.ts";
import { isSound, jsonObject } from "../sound.ts";

/** An answer of a door: a status and, as a rule, nothing more. */
export const empty = (status: number): Response => new Response(null, { status });

/** A body as text; null when it is none. Throws BodyTooLarge. */
export async function textOf({ req }: RouteContext, maxBytes: number): Promise<string | null> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readBody(req.raw, maxBytes));
  } catch (error) {
    if (error instanceof BodyTooLarge) throw error;
    return null;
  }
}

/** A body as a JSON object that can be stored; null when it is none. Throws BodyTooLarge. */
export async function jsonOf(context: RouteContext, maxBytes: number): Promise<Record<string, unknown> | null> {
  const text = await textOf(context, maxBytes);
  const value = text === null ? null : jsonObject(text);
  return value !== null && isSound(value) ? value : null;
}

/** The credentials of `Authorization: Bearer`; null without them. */
export function bearer({ req }: RouteContext): string | null {
  return /^Bearer\s+(\S+)\s*$/i.exec(req.header("authorization") ?? "")?.[1] ?? null;
}
