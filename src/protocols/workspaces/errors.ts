import { PasswordsBusy } from "../../accounts/accounts.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import { isForeignKeyViolation } from "../../database/errors.ts";
import { defineErrors, type Fault } from "../../errors.ts";
import { BodyTooLarge } from "../../http/body.ts";
import { MediaUnavailable } from "./media/media.ts";

const row = (status: number, text: string, comeBack = false) => ({ status, text, comeBack });

/**
 * Every error a client may see. The existing client compares texts byte by byte, odd spelling included (section 15); each
 * is sent in the case of its own rule alone.
 */
export const errors = defineErrors({
  // Login (W-2.4..W-2.9)
  missing_authentication: row(401, "Missing authentication"),
  bad_token: row(401, "Bad token"),
  access_expired: row(401, "Access token is expired"),
  credentials_invalid: row(401, "Credentials are invalid"),
  refresh_expired: row(401, "Refresh token is expired"),
  wrong_login: row(401, "Email or password are invalid"),
  // General (W-4.1..W-4.7)
  access_denied: row(403, "Access denied"),
  not_found: row(404, "Not found"),
  wrong_method: row(405, "Method not allowed"),
  too_large: row(413, "Payload content length greater than maximum allowed"),
  unsupported_media: row(415, "Unsupported Media Type"),
  too_many_requests: row(429, "Too many requests", true),
  internal: row(500, "An internal server error occurred"),
  unavailable: row(503, "Service is temporarily unavailable", true),
  media_unavailable: row(503, "Media server is unavailable", true),
  // Accounts (W-4.10..W-4.27)
  email_signed_up: row(400, "A user with that email address has already signed up"),
  signup_code: row(400, "Invite code is invalid"),
  auth_link: row(400, "Auth link is not valid"),
  wrong_password: row(403, "Invalid password"),
  reset_token: row(400, "Token is invalid"),
  verification_code: row(400, "Verification code is not valid"),
  email_in_use: row(400, "The email address is already in use"),
  file_not_found: row(400, "File is not found"),
  file_not_yours: row(400, "You have not access to the file"),
  file_not_avatar: row(400, "The provided file is not avatar"),
  not_attached: row(400, "That external service is not attached"),
  latest_login: row(400, "Can't detach social account because it is the latest login method"),
  still_admin: row(400, "You can not delete account while you have admin rights in at least one workspace"),
  permission_query: row(400, "Bad data for checking permissions"),
  file_limit: row(403, "The limit of uploaded files is reached"),
  // Workspaces (W-4.30..W-4.45)
  wrong_name: row(400, "Wrong name"),
  cannot_invite: row(403, "UserCanNotInviteToWorkspace"),
  no_mail: row(400, "E-mail is not configured"),
  unknown_code: row(400, "Invite code is not valid"),
  invalid_code: row(400, "InvalidCode"),
  demote_creator: row(403, "Cannot demote workspace creator"),
  not_workspace_member: row(400, "User is not workspace member"),
  last_admin_leaves: row(403, "User can't leave the workspace because he is the last admin"),
  kick_creator: row(403, "Cannot kick workspace creator"),
  kick_last_admin: row(403, "Cannot kick the last admin"),
  // Channels (W-4.50..W-4.61)
  cannot_create: row(403, "UserCanNotCreateChannels"),
  nobody_to_talk_to: row(400, "Choose users for private talk"),
  strangers: row(400, "Not all users are in the same workspace"),
  last_channel_admin: row(400, "Last admin in channel"),
  not_channel_member: row(400, "User is not channel member"),
  no_channel_invite: row(404, "InviteNotFound"),
  guest_code: row(400, "Invalid invite code"),
  // Live state (W-4.70..W-4.78, section 9)
  socket_not_found: row(400, "Socket not found"),
  already_selected: row(400, "Channel already selected"),
  not_selected: row(400, "Channel is not selected"),
  unknown_socket: row(400, "Unknow socket connection"),
  not_in_channel: row(400, "Socket connection not in a channel"),
  different_channels: row(400, "Users are not in the same channel"),
  user_not_found: row(404, "User not found"),
  invite_yourself: row(400, "Cannot invite yourself"),
  already_there: row(400, "User is already in the channel"),
  message_not_found: row(400, "Message not found"),
  no_slack: row(400, "Workspace not connected slack"),
  // Sockets (sections 2 and 5)
  auth_shape: row(400, 'Invalid data format for "auth" event'),
  broadcast_shape: row(400, 'Invalid data format for "conversation-broadcast" event'),
  invalid_access_token: row(401, "Invalid access token"),
  cannot_listen: row(403, "Can't listen workspace events"),
  too_many_connections: row(429, "Too many connections"),
  other_user: row(403, "Socket is already authenticated"),
  auth_timeout: row(401, "Authentication timeout"),
  not_authenticated: row(401, "Not authenticated"),
  action_reserved: row(400, "Action is reserved"),
  unknown_event: row(400, "Unknown event"),
  system: row(500, "System error"),
});

export type ErrorCode = keyof (typeof errors)["rows"];

/** Input that does not fit its schema (W-4.2). */
export class InvalidInput extends Error {
  override readonly name = "InvalidInput";
  readonly source: "payload" | "params" | "query";
  readonly keys: readonly string[];

  constructor(source: "payload" | "params" | "query", keys: readonly string[]) {
    super(`Invalid request ${source} input`);
    this.source = source;
    this.keys = keys;
  }
}

/** What a client of a REST route is told of an error; null for a fault of ours. */
export function publicFault(error: unknown): Fault<ErrorCode> | null {
  if (errors.owns(error)) return error;
  if (error instanceof MediaUnavailable) return errors.fault("media_unavailable", { cause: error });
  if (error instanceof BodyTooLarge) return errors.fault("too_large");
  // What the call is about was deleted after it had been looked at.
  if (isForeignKeyViolation(error)) return errors.fault("not_found", { cause: error });
  return isOutage(error) ? errors.fault("unavailable", { cause: error }) : null;
}

/** True for an error that passes: a store away, or too much to do. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof BackplaneUnavailable || error instanceof DatabaseUnavailable || error instanceof PasswordsBusy
  );
}
