import { readBody } from "../../../http/body.ts";
import type { RouteContext } from "../../../http/routes.ts";
import { Refusal } from "../errors.ts";
import { isSound, jsonObject } from "../sound.ts";

/** Names that hold lists, however they are written. */
const lists = new Set(["vehicles", "events"]);

/**
 * The parameters of a request, whatever form its body has (F-3.2): JSON, multipart or urlencoded. In forms a list is a
 * repeated name, a comma list or a JSON array. Throws {@link Refusal} `Invalid body`, and BodyTooLarge.
 */
export async function parametersOf({ req }: RouteContext, maxBytes: number): Promise<Record<string, unknown>> {
  const bytes = await readBody(req.raw, maxBytes);
  if (bytes.byteLength === 0) return {};
  const type = req.header("content-type") ?? "";
  const value = /^(multipart\/form-data|application\/x-www-form-urlencoded)\b/i.test(type)
    ? await formOf(bytes, type)
    : jsonObject(textOf(bytes));
  if (value === null || !isSound(value)) throw new Refusal("invalid_body");
  return value;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return "";
  }
}

async function formOf(bytes: Uint8Array, type: string): Promise<Record<string, unknown> | null> {
  let form: FormData;
  try {
    form = (await new Response(new Blob([bytes as Uint8Array<ArrayBuffer>]), {
      headers: { "content-type": type },
    }).formData()) as FormData;
  } catch {
    return null;
  }
  const fields: Record<string, unknown> = {};
  for (const [given, value] of form.entries()) {
    if (typeof value !== "string") return null;
    const name = given.replace(/\[\]$/, "");
    if (lists.has(name)) fields[name] = [...((fields[name] as unknown[] | undefined) ?? []), ...itemsOf(value)];
    else fields[name] = value;
  }
  return fields;
}

function itemsOf(text: string): unknown[] {
  if (text.trim() === "") return [];
  if (!text.trim().startsWith("[")) return text.split(",").map((item) => item.trim());
  try {
    const items: unknown = JSON.parse(text);
    return Array.isArray(items) ? items : [text];
  } catch {
    return [text];
  }
}
