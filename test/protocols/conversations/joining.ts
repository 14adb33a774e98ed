import { EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import type { Person, Stage } from "./stage.ts";

/** Credentials as the query of the opening request. */
export const query = (credentials: Record<string, string>) => `&${new URLSearchParams(credentials)}`;
export const credentialsOf = ({ id, token }: Person, user_role = "SELLER") => ({ token, user_id: id, user_role });

/** The first frames a client of revision 3 gets after it asked for the chat. */
export async function join3(
  at: Stage,
  credentials: Record<string, string>,
  options: { inside?: boolean; headers?: Record<string, string> } = {},
) {
  const { inside = false, headers = {} } = options;
  const text = query(credentials);
  const raw = await RawSocket.open(at.url, { revision: 3, query: inside ? "" : text, headers });
  const opening = [await raw.next(), await raw.next()];
  raw.send(inside ? `40${EVENTS}?${text.slice(1)},` : `40${EVENTS},`);
  return { raw, opening, answer: await raw.next() };
}

/** The answer to a client of revision 4 that asks for the chat. */
export async function join4(at: Stage, credentials: Record<string, unknown>, headers: Record<string, string> = {}) {
  const raw = await RawSocket.open(at.url, { headers });
  await raw.next();
  raw.send(`40${EVENTS},${JSON.stringify(credentials)}`);
  return { raw, answer: await raw.next() };
}

export const REFUSED_3 = `44${EVENTS},"Authentication Error"`;
export const REFUSED_4 = `44${EVENTS},{"message":"Authentication Error"}`;
