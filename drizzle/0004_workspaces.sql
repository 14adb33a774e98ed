CREATE SCHEMA "workspaces";
--> statement-breakpoint
CREATE TABLE "workspaces"."channel_members" (
	"channel_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"role" text NOT NULL,
	"usage_count" integer DEFAULT 0 NOT NULL,
	"latest_usage" timestamp (3) with time zone,
	"invite_id" uuid,
	"joined_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "channel_members_channel_id_user_id_pk" PRIMARY KEY("channel_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."channels" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_id" uuid NOT NULL,
	"creator_id" uuid NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"is_private" boolean NOT NULL,
	"is_temporary" boolean NOT NULL,
	"expired_at" timestamp (3) with time zone,
	"empty_until" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspaces"."connections" (
	"id" text PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"workspace_id" uuid NOT NULL,
	"session_id" uuid NOT NULL,
	"node" text NOT NULL,
	"grace_until" timestamp (3) with time zone,
	"asleep" boolean DEFAULT false NOT NULL,
	"channel_id" uuid,
	"media_state" jsonb,
	"media_grant" text
);
--> statement-breakpoint
CREATE TABLE "workspaces"."files" (
	"id" uuid PRIMARY KEY NOT NULL,
	"owner_id" uuid NOT NULL,
	"mime" text NOT NULL,
	"size" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspaces"."invite_codes" (
	"id" uuid PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"code_hash" text NOT NULL,
	"code_sealed" text NOT NULL,
	"email" text,
	"workspace_id" uuid NOT NULL,
	"channel_id" uuid,
	"created_by" uuid NOT NULL,
	"uses" integer DEFAULT 0 NOT NULL,
	"max_uses" integer,
	"disabled" boolean DEFAULT false NOT NULL,
	"expired_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "invite_codes_code_hash_unique" UNIQUE("code_hash")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."one_time_tokens" (
	"hash" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"user_id" uuid NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "workspaces"."pending_invites" (
	"id" uuid PRIMARY KEY NOT NULL,
	"from_user" uuid NOT NULL,
	"to_user" uuid NOT NULL,
	"workspace_id" uuid NOT NULL,
	"channel_id" uuid NOT NULL,
	"due_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "pending_invites_from_user_to_user_channel_id_unique" UNIQUE("from_user","to_user","channel_id")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."retired_tokens" (
	"refresh_hash" text PRIMARY KEY NOT NULL,
	"access_hash" text NOT NULL,
	"access_expires_at" timestamp (3) with time zone NOT NULL,
	"session_id" uuid NOT NULL,
	"retired_at" timestamp (3) with time zone NOT NULL,
	"reply" text,
	CONSTRAINT "retired_tokens_access_hash_unique" UNIQUE("access_hash")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"access_hash" text NOT NULL,
	"access_expires_at" timestamp (3) with time zone NOT NULL,
	"refresh_hash" text NOT NULL,
	"refresh_expires_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "sessions_access_hash_unique" UNIQUE("access_hash"),
	CONSTRAINT "sessions_refresh_hash_unique" UNIQUE("refresh_hash")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."user_calls" (
	"user_id" uuid NOT NULL,
	"other_id" uuid NOT NULL,
	"calls_count" integer NOT NULL,
	"latest_call" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "user_calls_user_id_other_id_pk" PRIMARY KEY("user_id","other_id")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."users" (
	"id" uuid PRIMARY KEY NOT NULL,
	"lang" text,
	"avatar_file_id" uuid,
	"is_email_verified" boolean DEFAULT false NOT NULL,
	"pending_email" text,
	"has_password" boolean DEFAULT true NOT NULL,
	"social_auth" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"app_settings" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"chosen_status" text,
	"chosen_by" text,
	"visible_status" text DEFAULT 'offline' NOT NULL,
	"is_guest" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspaces"."workspace_members" (
	"workspace_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"role" text NOT NULL,
	"invite_id" uuid,
	"joined_at" timestamp (3) with time zone NOT NULL,
	"latest_activity_at" timestamp (3) with time zone,
	CONSTRAINT "workspace_members_workspace_id_user_id_pk" PRIMARY KEY("workspace_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."workspaces" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"avatar_file_id" uuid,
	"creator_id" uuid NOT NULL,
	"can_users_invite" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "workspaces"."channel_members" ADD CONSTRAINT "channel_members_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "workspaces"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."channel_members" ADD CONSTRAINT "channel_members_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."channels" ADD CONSTRAINT "channels_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."connections" ADD CONSTRAINT "connections_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."connections" ADD CONSTRAINT "connections_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."connections" ADD CONSTRAINT "connections_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "workspaces"."channels"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."files" ADD CONSTRAINT "files_owner_id_users_id_fk" FOREIGN KEY ("owner_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."invite_codes" ADD CONSTRAINT "invite_codes_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."invite_codes" ADD CONSTRAINT "invite_codes_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "workspaces"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."invite_codes" ADD CONSTRAINT "invite_codes_created_by_users_id_fk" FOREIGN KEY ("created_by") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."one_time_tokens" ADD CONSTRAINT "one_time_tokens_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."pending_invites" ADD CONSTRAINT "pending_invites_from_user_users_id_fk" FOREIGN KEY ("from_user") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."pending_invites" ADD CONSTRAINT "pending_invites_to_user_users_id_fk" FOREIGN KEY ("to_user") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."pending_invites" ADD CONSTRAINT "pending_invites_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."pending_invites" ADD CONSTRAINT "pending_invites_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "workspaces"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."retired_tokens" ADD CONSTRAINT "retired_tokens_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "workspaces"."sessions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."user_calls" ADD CONSTRAINT "user_calls_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."user_calls" ADD CONSTRAINT "user_calls_other_id_users_id_fk" FOREIGN KEY ("other_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."users" ADD CONSTRAINT "users_id_accounts_id_fk" FOREIGN KEY ("id") REFERENCES "accounts"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."workspace_members" ADD CONSTRAINT "workspace_members_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"."workspaces"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "workspaces"."workspace_members" ADD CONSTRAINT "workspace_members_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "workspaces"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "channel_members_user_id_index" ON "workspaces"."channel_members" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "channels_workspace_id_index" ON "workspaces"."channels" USING btree ("workspace_id");--> statement-breakpoint
CREATE INDEX "channels_empty_until_index" ON "workspaces"."channels" USING btree ("empty_until");--> statement-breakpoint
CREATE INDEX "connections_user_id_index" ON "workspaces"."connections" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "connections_workspace_id_index" ON "workspaces"."connections" USING btree ("workspace_id");--> statement-breakpoint
CREATE INDEX "connections_session_id_index" ON "workspaces"."connections" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "connections_channel_id_index" ON "workspaces"."connections" USING btree ("channel_id");--> statement-breakpoint
CREATE INDEX "connections_node_index" ON "workspaces"."connections" USING btree ("node");--> statement-breakpoint
CREATE INDEX "connections_grace_until_index" ON "workspaces"."connections" USING btree ("grace_until") WHERE grace_until is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "connections_one_conversation" ON "workspaces"."connections" USING btree ("user_id","workspace_id") WHERE channel_id is not null;--> statement-breakpoint
CREATE INDEX "files_owner_id_index" ON "workspaces"."files" USING btree ("owner_id");--> statement-breakpoint
CREATE INDEX "invite_codes_workspace_id_index" ON "workspaces"."invite_codes" USING btree ("workspace_id");--> statement-breakpoint
CREATE INDEX "invite_codes_channel_id_index" ON "workspaces"."invite_codes" USING btree ("channel_id");--> statement-breakpoint
CREATE INDEX "invite_codes_expired_at_index" ON "workspaces"."invite_codes" USING btree ("expired_at");--> statement-breakpoint
CREATE INDEX "one_time_tokens_user_id_index" ON "workspaces"."one_time_tokens" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "one_time_tokens_expires_at_index" ON "workspaces"."one_time_tokens" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "pending_invites_to_user_channel_id_index" ON "workspaces"."pending_invites" USING btree ("to_user","channel_id");--> statement-breakpoint
CREATE INDEX "pending_invites_channel_id_index" ON "workspaces"."pending_invites" USING btree ("channel_id");--> statement-breakpoint
CREATE INDEX "pending_invites_due_at_index" ON "workspaces"."pending_invites" USING btree ("due_at");--> statement-breakpoint
CREATE INDEX "retired_tokens_session_id_index" ON "workspaces"."retired_tokens" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "retired_tokens_retired_at_index" ON "workspaces"."retired_tokens" USING btree ("retired_at") WHERE reply is not null;--> statement-breakpoint
CREATE INDEX "sessions_user_id_index" ON "workspaces"."sessions" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "sessions_refresh_expires_at_index" ON "workspaces"."sessions" USING btree ("refresh_expires_at");--> statement-breakpoint
CREATE INDEX "workspace_members_user_id_index" ON "workspaces"."workspace_members" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "workspace_members_invite_id_index" ON "workspaces"."workspace_members" USING btree ("invite_id");