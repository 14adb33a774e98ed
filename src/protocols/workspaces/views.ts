import type { AnyPgColumn } from "drizzle-orm/pg-core";
import { accounts } from "../../accounts/tables.ts";
import { type AvatarSide, avatarFile } from "./avatars.ts";
import type { ChannelRole, MediaFlags, StoredMediaState, WorkspaceRole } from "./messages.ts";
import { type channels, users, type workspaces } from "./tables.ts";

/** What is selected of a person: the account's part and this protocol's. */
export const personColumns = {
  id: users.id,
  name: accounts.name,
  email: accounts.email,
  username: accounts.username,
  lang: users.lang,
  avatarFileId: users.avatarFileId,
  isEmailVerified: users.isEmailVerified,
  isGuest: users.isGuest,
  createdAt: users.createdAt,
  updatedAt: users.updatedAt,
} satisfies Record<string, AnyPgColumn>;

export type Person = Pick<
  typeof users.$inferSelect,
  "id" | "lang" | "avatarFileId" | "isEmailVerified" | "isGuest" | "createdAt" | "updatedAt"
> & { readonly name: string | null; readonly email: string | null; readonly username: string | null };

/** A person with what only he himself may see. */
export type ConfidentialPerson = Person & Pick<typeof users.$inferSelect, "socialAuth" | "appSettings">;
export const confidentialColumns = {
  ...personColumns,
  socialAuth: users.socialAuth,
  appSettings: users.appSettings,
} satisfies Record<string, AnyPgColumn>;

export type WorkspaceRow = typeof workspaces.$inferSelect;
export type ChannelRow = typeof channels.$inferSelect;

/** W-3.20 */
export interface ImageSet {
  readonly image32x32: string;
  readonly image64x64: string;
  readonly image128x128: string;
  readonly image256x256: string;
  readonly image512x512: string;
}

/** W-3.10 */
export interface WorkspaceView {
  readonly id: string;
  readonly name: string;
  readonly avatarFileId?: string;
  readonly avatarSet?: ImageSet;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly creatorId: string;
}

/** W-3.14 */
export interface UserView {
  readonly id: string;
  readonly name: string;
  readonly lang?: string;
  readonly avatarSet?: ImageSet;
  readonly avatarFileId?: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly isEmailVerified: boolean;
  readonly email?: string;
  readonly temporaryUser?: true;
}

/** W-3.18 */
export type UserMediaStateWithId = StoredMediaState & { readonly userId: string };

/** Shapes of section 3, made of rows. A key without a value is absent (W-3.2). */
export class Views {
  readonly #imageBase: string;

  /** @param imageBase where uploaded images are served, without a last slash */
  constructor(imageBase: string) {
    this.#imageBase = imageBase;
  }

  imageSet(fileId: string): ImageSet {
    const url = (side: AvatarSide) => `${this.#imageBase}/files/${avatarFile(fileId, side)}`;
    return {
      image32x32: url(32),
      image64x64: url(64),
      image128x128: url(128),
      image256x256: url(256),
      image512x512: url(512),
    };
  }

  workspace(row: WorkspaceRow): WorkspaceView {
    const { id, name, creatorId } = row;
    return { id, name, ...this.#avatar(row), ...times(row), creatorId };
  }

  workspaceFor(row: WorkspaceRow, role: WorkspaceRole) {
    return { ...this.workspace(row), userRelation: { role } };
  }

  workspaceSettings(row: WorkspaceRow) {
    return { ...this.workspace(row), canUsersInvite: row.canUsersInvite };
  }

  channel(row: ChannelRow) {
    const { id, name, description, creatorId, isPrivate, isTemporary, expiredAt } = row;
    return {
      id,
      name,
      ...(description === null ? {} : { description }),
      creatorId,
      isPrivate,
      isTemporary,
      ...(expiredAt === null ? {} : { expiredAt: expiredAt.toISOString() }),
      ...times(row),
    };
  }

  channelFor(row: ChannelRow, relation: ChannelRelation, users: readonly UserMediaStateWithId[]) {
    const { role, usageCount, latestUsage } = relation;
    const latest = latestUsage === null ? {} : { latestUsage: latestUsage.toISOString() };
    return { ...this.channel(row), userRelation: { role, usageCount, ...latest }, users };
  }

  /** Without the e-mail address, as others see a person (W-3.3). */
  user(person: Person): UserView {
    const { id, name, username, lang, isEmailVerified, isGuest } = person;
    return {
      id,
      name: name ?? username ?? "",
      ...(lang === null ? {} : { lang }),
      ...this.#avatar(person),
      ...times(person),
      isEmailVerified,
      ...(isGuest ? { temporaryUser: true as const } : {}),
    };
  }

  /** With the e-mail address: for the person, and for those who may see it (W-3.3). */
  userWithEmail(person: Person): UserView {
    return { ...this.user(person), ...(person.email === null ? {} : { email: person.email }) };
  }

  confidential(person: ConfidentialPerson) {
    return { ...this.userWithEmail(person), socialAuth: person.socialAuth, appSettings: person.appSettings };
  }

  #avatar({ avatarFileId }: { avatarFileId: string | null }) {
    return avatarFileId === null ? {} : { avatarFileId, avatarSet: this.imageSet(avatarFileId) };
  }
}

/** What a member of a channel is to it. */
export interface ChannelRelation {
  readonly role: ChannelRole;
  readonly usageCount: number;
  readonly latestUsage: Date | null;
}

/** The five booleans alone (W-8.7). */
export function flagsOf({ microphone, speakers, screen, camera, speaking }: MediaFlags): MediaFlags {
  return { microphone, speakers, screen, camera, speaking };
}

function times({ createdAt, updatedAt }: { createdAt: Date; updatedAt: Date }) {
  return { createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
