import { and, asc, eq, inArray } from "drizzle-orm";
import * as v from "valibot";
import { type Account, AccountExists } from "../../../accounts/accounts.ts";
import { isUuid } from "../../../accounts/uuid.ts";
import type { Orm } from "../../../database/database.ts";
import type { Route, RouteContext } from "../../../http/routes.ts";
import { Refusal } from "../errors.ts";
import { Uid } from "../messages.ts";
import { hashOf, newSecret } from "../secrets.ts";
import { apiTokens, entitlements, sessions, units } from "../tables.ts";
import { type AdminParts, answer, bodyOf, numberIn, pageOf, text } from "./parts.ts";

const UserNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1));
const Login = v.pipe(
  text(128),
  v.check((login) => !login.includes(":")),
);
const Creation = v.object({
  user_id: v.exactOptional(UserNumber),
  login: Login,
  password: text(1024),
  name: v.exactOptional(v.nullable(text(255))),
  disabled: v.exactOptional(v.boolean()),
});
const Change = v.object({
  login: v.exactOptional(Login),
  password: v.exactOptional(text(1024)),
  name: v.exactOptional(v.nullable(text(255))),
  disabled: v.exactOptional(v.boolean()),
});

const rights = ["view", "command", "message"] as const;
const Grants = v.object({
  units: v.pipe(
    v.array(v.object({ uid: Uid, rights: v.optional(v.array(v.picklist(rights)), () => [...rights]) })),
    v.maxLength(10_000),
  ),
});
type Grants = v.InferOutput<typeof Grants>["units"];

/** Users, what they may see, and what they log in with (F-3.24 to F-3.27). */
export function userRoutes(parts: AdminParts): Route[] {
  const { database, accounts, revision, clock } = parts;
  const accountOf = async (context: RouteContext): Promise<Account> => {
    const account = await accounts.byNumber(numberIn(context, "id"));
    if (!account) throw new Refusal("not_found");
    return account;
  };
  const grant = (replace: boolean) => async (context: RouteContext) => {
    const { number } = await accountOf(context);
    const { units: grants } = await bodyOf(context, Grants, parts);
    await revision.change((tx) => putGrants(tx, number, grants, replace));
    return answer(await grantsOf(database.orm, number));
  };
  return [
    {
      method: "POST",
      path: "/users",
      async handler(context) {
        const { user_id: number, login, password, name, disabled } = await bodyOf(context, Creation, parts);
        const account = await refuseTaken(() =>
          accounts.create({
            ...{ ...loginOf(login), password },
            ...(number === undefined ? {} : { number }),
            ...(name ? { name } : {}),
            ...(disabled === undefined ? {} : { disabled }),
          }),
        );
        return answer(shown(account), { status: 201 });
      },
    },
    {
      method: "GET",
      path: "/users",
      async handler(context) {
        const { limit, after } = pageOf(context);
        const rows = await accounts.list({ after, limit });
        return answer(rows.map(shown), { cursor: rows.length === limit ? rows.at(-1)?.number : undefined });
      },
    },
    { method: "GET", path: "/users/:id", handler: async (context) => answer(shown(await accountOf(context))) },
    {
      method: "PATCH",
      path: "/users/:id",
      async handler(context) {
        const account = await accountOf(context);
        const { login, password, ...changes } = await bodyOf(context, Change, parts);
        const named = login === undefined ? changes : { ...changes, ...loginOf(login) };
        const changed = await refuseTaken(() => accounts.update(account.id, named));
        if (!changed) throw new Refusal("not_found");
        if (password !== undefined) await accounts.setPassword(account.id, password);
        await revision.change(async () => {});
        return answer(shown(changed));
      },
    },
    {
      method: "DELETE",
      path: "/users/:id",
      async handler(context) {
        const { id } = await accountOf(context);
        await accounts.remove(id);
        await revision.change(async () => {});
        return answer([]);
      },
    },
    {
      method: "GET",
      path: "/users/:id/units",
      handler: async (context) => answer(await grantsOf(database.orm, (await accountOf(context)).number)),
    },
    { method: "PUT", path: "/users/:id/units", handler: grant(true) },
    { method: "POST", path: "/users/:id/units", handler: grant(false) },
    {
      method: "DELETE",
      path: "/users/:id/units/:uid",
      async handler(context) {
        const { number } = await accountOf(context);
        const own = and(eq(entitlements.user, number), eq(entitlements.uid, numberIn(context, "uid")));
        const gone = await revision.change((tx) => tx.delete(entitlements).where(own).returning());
        if (gone.length === 0) throw new Refusal("not_found");
        return answer([]);
      },
    },
    {
      method: "POST",
      path: "/users/:id/tokens",
      async handler(context) {
        const { number } = await accountOf(context);
        const [id, token] = [crypto.randomUUID(), newSecret()];
        const row = { id, user: number, hash: hashOf(token), createdAt: new Date(clock.now()) };
        await database.orm.insert(apiTokens).values(row);
        return answer({ id, token }, { status: 201 });
      },
    },
    {
      method: "DELETE",
      path: "/users/:id/tokens/:tid",
      async handler(context) {
        const { number } = await accountOf(context);
        const id = context.req.param("tid") ?? "";
        if (!isUuid(id)) throw new Refusal("not_found");
        const own = and(eq(apiTokens.user, number), eq(apiTokens.id, id));
        const gone = await database.orm.delete(apiTokens).where(own).returning({ id: apiTokens.id });
        if (gone.length === 0) throw new Refusal("not_found");
        return answer([]);
      },
    },
    {
      method: "DELETE",
      path: "/users/:id/sessions",
      async handler(context) {
        const { number } = await accountOf(context);
        await revision.change((tx) => tx.delete(sessions).where(eq(sessions.user, number)));
        return answer([]);
      },
    },
  ];
}

/** Adds entitlements, or puts these in place of all. Throws `not_found` for an unknown unit; nothing is changed then. */
async function putGrants(tx: Orm, user: number, grants: Grants, replace: boolean): Promise<void> {
  const rows = [...new Map(grants.map((grant) => [grant.uid, grant])).values()].map(({ uid, rights }) => ({
    ...{ user, uid, view: rights.includes("view") },
    ...{ command: rights.includes("command"), message: rights.includes("message") },
  }));
  const uids = rows.map(({ uid }) => uid);
  const known =
    uids.length === 0 ? [] : await tx.select({ uid: units.uid }).from(units).where(inArray(units.uid, uids));
  if (known.length < uids.length) throw new Refusal("not_found");
  const old = replace ? eq(entitlements.user, user) : and(eq(entitlements.user, user), inArray(entitlements.uid, uids));
  if (replace || uids.length > 0) await tx.delete(entitlements).where(old);
  if (rows.length > 0) await tx.insert(entitlements).values(rows);
}

async function grantsOf(orm: Orm, user: number): Promise<object[]> {
  const rows = await orm.select().from(entitlements).where(eq(entitlements.user, user)).orderBy(asc(entitlements.uid));
  return rows.map((row) => ({ uid: row.uid, rights: rights.filter((right) => row[right]) }));
}

const loginOf = (login: string) => (login.includes("@") ? { email: login } : { username: login });

function shown({ number, username, email, name, disabled, createdAt }: Account): object {
  return { user_id: number, login: username ?? email, name, disabled, created_at: createdAt.toISOString() };
}

async function refuseTaken<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof AccountExists) throw new Refusal("exists");
    throw error;
  }
}
