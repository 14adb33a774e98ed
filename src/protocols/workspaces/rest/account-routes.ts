import * as v from "valibot";
import { BodyTooLarge, readBody } from "../../../http/body.ts";
import type { Route, RouteContext } from "../../../http/routes.ts";
import type { AccountDeletion } from "../account-deletion.ts";
import { errors, InvalidInput } from "../errors.ts";
import type { Files } from "../files.ts";
import type { Logins } from "../logins.ts";
import { bodies, JsonObject } from "../messages.ts";
import type { Notices } from "../notices.ts";
import type { OneTimeTokens } from "../one-time-tokens.ts";
import type { AppSettings, People } from "../people.ts";
import type { Permissions } from "../permissions.ts";
import type { Views } from "../views.ts";
import type { Gate } from "./gate.ts";

/** What the routes of accounts work with. */
export interface AccountRouteParts {
  readonly accountDeletion: AccountDeletion;
  readonly files: Files;
  readonly gate: Gate;
  readonly logins: Logins;
  readonly notices: Notices;
  readonly oneTimeTokens: OneTimeTokens;
  readonly people: People;
  readonly permissions: Permissions;
  readonly views: Views;
}

const UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
const MAX_UPLOAD = 5 * 1024 * 1024;
/** What multipart puts around an upload. */
const MULTIPART_SLACK = 64 * 1024;
const MAX_ACTIONS = 32;
const MAX_SETTINGS = 16_384;

/** W-4.10 to W-4.27 */
export function accountRoutes(parts: AccountRouteParts): Route[] {
  return [...loginRoutes(parts), ...profileRoutes(parts)];
}

function loginRoutes({ gate, logins, oneTimeTokens }: AccountRouteParts): Route[] {
  return [
    gate.post("/signup", "none", bodies.signup, ({ body }) => logins.signUp(body.user)),
    gate.post("/signin", "none", bodies.signin, ({ body: { credentials } }) =>
      logins.signIn(credentials.email, credentials.password),
    ),
    gate.post("/refresh-token", "none", bodies.refresh, ({ body }) =>
      logins.refresh(body.accessToken, body.refreshToken),
    ),
    gate.post("/signout", "any", bodies.empty, async ({ bearer }) => {
      await logins.signOut(bearer.sessionId, bearer.userId);
      return "ok";
    }),
    gate.post("/create-auth-link", "any", bodies.empty, async ({ userId }) => ({
      code: await logins.createLink(userId),
    })),
    gate.post("/signin/link/:code", "none", bodies.empty, (call) => logins.signInByLink(call.code())),
    gate.post("/password", "any", bodies.password, async ({ userId, body }) => {
      await logins.changePassword(userId, body.oldPassword, body.password);
      return "ok";
    }),
    gate.post("/reset-password/init", "none", bodies.resetInit, async ({ body }) => {
      logins.forgotPassword(body.email);
      return "ok";
    }),
    gate.post("/reset-password", "none", bodies.reset, async ({ body }) => ({
      code: await logins.resetPassword(body.token, body.password),
    })),
    gate.get("/check-token", "none", async (call) => ({
      result: await oneTimeTokens.isGood(call.query("token") ?? ""),
    })),
    gate.get("/status", "none", async () => "OK"),
    gate.get("/protected", "any", async () => "OK"),
    // The links of letters are looked at by HEAD before anybody follows them.
    { ...gate.get("/verify/:token", "none", (call) => logins.verify(call.code("token"))), unsafe: true },
  ];
}

function profileRoutes(parts: AccountRouteParts): Route[] {
  const { accountDeletion, files, gate, logins, notices, people, permissions, views } = parts;
  return [
    gate.get("/me", "any", async ({ userId }) => views.confidential(await people.confidential(userId))),
    gate.get(`/user/:id{${UUID}}`, "any", async (call) => {
      const id = call.id();
      const person = await people.find(id);
      if (!person) throw errors.fault("not_found");
      if (id === call.userId) return views.userWithEmail(person);
      const seen = await people.seenBy(call.userId, id);
      if (seen === "not") throw errors.fault("access_denied");
      return seen === "with e-mail" ? views.userWithEmail(person) : views.user(person);
    }),
    gate.post("/profile", "any", bodies.profile, async ({ userId, body }) => {
      const { name, lang, avatarFileId, email } = body;
      const before = await people.confidential(userId);
      // All that can be refused comes before anything that changes.
      if (typeof avatarFileId === "string") await people.checkAvatar(userId, avatarFileId);
      if (email !== undefined && email.toLowerCase() !== before.email?.toLowerCase()) {
        await logins.changeEmail(userId, email);
      }
      await people.update(userId, { name, lang, avatarFileId });
      const person = await people.confidential(userId);
      const changed = (["name", "lang", "avatarFileId"] as const).some((key) => person[key] !== before[key]);
      if (changed) notices.userUpdated(await people.workspacesOf(userId), views.user(person));
      return views.userWithEmail(person);
    }),
    gate.post("/me/app-settings", "any", bodies.appSettings, async ({ userId, body }) => {
      await people.changeAppSettings(userId, (before) => {
        const merged = mergedSettings(before, body);
        if (Buffer.byteLength(JSON.stringify(merged)) > MAX_SETTINGS) throw new InvalidInput("payload", []);
        return merged;
      });
      const user = views.confidential(await people.confidential(userId));
      notices.meUpdated(userId, user, "app-settings");
      return user;
    }),
    gate.get("/detach-account/:service{facebook|google|slack}", "any", async () => {
      // Version 1 attaches none (out of scope: OAuth logins).
      throw errors.fault("not_attached");
    }),
    gate.post("/me/delete", "any", bodies.empty, async ({ userId }) => {
      await accountDeletion.run(userId);
      return "ok";
    }),
    gate.get("/check-permissions", "any", async (call) => {
      const actions = (call.query("actions") ?? "").split(",").filter((action) => action !== "");
      if (actions.length === 0 || actions.length > MAX_ACTIONS) throw new InvalidInput("query", ["actions"]);
      return permissions.ask(call.userId, actions, {
        channelId: call.queryId("channelId"),
        workspaceId: call.queryId("workspaceId"),
        userId: call.queryId("userId"),
        inviteId: call.queryId("inviteId"),
      });
    }),
    gate.upload("/image", "account", async ({ userId, context }) => {
      if (!files.open) throw errors.fault("not_found");
      return files.store(userId, await uploadOf(context));
    }),
  ];
}

/** Merged one level deep: objects under the same key are joined, anything else is replaced. */
function mergedSettings(before: AppSettings, given: AppSettings): AppSettings {
  const merged = { ...before };
  for (const [key, value] of Object.entries(given)) {
    const old = merged[key];
    merged[key] = isObject(old) && isObject(value) ? { ...old, ...value } : value;
  }
  return merged;
}

const isObject = (value: unknown): value is AppSettings => v.is(JsonObject, value);

async function uploadOf(context: RouteContext): Promise<Uint8Array> {
  const type = context.req.header("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) throw errors.fault("unsupported_media");
  const bytes = await readBody(context.req.raw, MAX_UPLOAD + MULTIPART_SLACK);
  let field: unknown;
  try {
    const form = await new Response(bytes, { headers: { "content-type": type } }).formData();
    field = form.get("image");
  } catch {
    throw new InvalidInput("payload", ["image"]);
  }
  if (!(field instanceof Blob)) throw new InvalidInput("payload", ["image"]);
  if (field.size > MAX_UPLOAD) throw new BodyTooLarge();
  return field.bytes();
}
