CREATE TABLE "workspaces"."media_grants" (
	"id" uuid PRIMARY KEY NOT NULL,
	"channel_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"server" text NOT NULL,
	"server_token" text NOT NULL,
	"channel_token" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone,
	"expelled" boolean DEFAULT false NOT NULL,
	"leased_until" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "workspaces"."media_hostings" (
	"channel_id" uuid NOT NULL,
	"server" text NOT NULL,
	"room" bigint NOT NULL,
	"secret" text NOT NULL,
	"state" text NOT NULL,
	"stale" boolean DEFAULT false NOT NULL,
	"made_at" timestamp (3) with time zone,
	"leased_until" timestamp (3) with time zone,
	CONSTRAINT "media_hostings_channel_id_server_pk" PRIMARY KEY("channel_id","server")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."media_node_tokens" (
	"server" text NOT NULL,
	"node" text NOT NULL,
	"token" text NOT NULL,
	CONSTRAINT "media_node_tokens_server_node_pk" PRIMARY KEY("server","node")
);
--> statement-breakpoint
CREATE TABLE "workspaces"."media_rooms" (
	"channel_id" uuid PRIMARY KEY NOT NULL,
	"room" bigint NOT NULL,
	"secret" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspaces"."media_servers" (
	"url" text PRIMARY KEY NOT NULL,
	"down_since" timestamp (3) with time zone
);
--> statement-breakpoint
ALTER TABLE "workspaces"."media_rooms" ADD CONSTRAINT "media_rooms_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "workspaces"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "media_grants_channel_id_index" ON "workspaces"."media_grants" USING btree ("channel_id");--> statement-breakpoint
CREATE INDEX "media_grants_ended_at_index" ON "workspaces"."media_grants" USING btree ("ended_at") WHERE ended_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "media_hostings_one_open" ON "workspaces"."media_hostings" USING btree ("channel_id") WHERE state = 'open';--> statement-breakpoint
CREATE INDEX "media_hostings_server_index" ON "workspaces"."media_hostings" USING btree ("server");