CREATE SCHEMA "conversations";
--> statement-breakpoint
CREATE TABLE "conversations"."leases" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text NOT NULL,
	"until" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "conversations"."messages" (
	"id" text PRIMARY KEY NOT NULL,
	"room_id" text NOT NULL,
	"sender" text NOT NULL,
	"receiver" text NOT NULL,
	"type" text NOT NULL,
	"content" text NOT NULL,
	"client_message_id" text,
	"is_seen" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "messages_room_id_created_at_unique" UNIQUE("room_id","created_at")
);
--> statement-breakpoint
CREATE TABLE "conversations"."outbox" (
	"sequence" bigserial PRIMARY KEY NOT NULL,
	"id" uuid NOT NULL,
	"type" text NOT NULL,
	"room_id" text NOT NULL,
	"payload" json NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"relayed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "conversations"."rooms" (
	"id" text PRIMARY KEY NOT NULL,
	"type" text NOT NULL,
	"buyer" text NOT NULL,
	"seller" text NOT NULL,
	"shop_id" text NOT NULL,
	"creator" text NOT NULL,
	"buyer_info" json NOT NULL,
	"shop" json NOT NULL,
	"blocked_by" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"last_created_at" timestamp (3) with time zone,
	"buyer_last_message_id" text,
	"buyer_unseen" integer DEFAULT 0 NOT NULL,
	"buyer_pinned_at" timestamp (3) with time zone,
	"buyer_deleted" boolean DEFAULT false NOT NULL,
	"buyer_deleted_at" timestamp (3) with time zone,
	"seller_last_message_id" text,
	"seller_unseen" integer DEFAULT 0 NOT NULL,
	"seller_pinned_at" timestamp (3) with time zone,
	"seller_deleted" boolean DEFAULT false NOT NULL,
	"seller_deleted_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE INDEX "messages_unseen_index" ON "conversations"."messages" USING btree ("room_id","receiver","created_at") WHERE not is_seen;--> statement-breakpoint
CREATE INDEX "messages_client_id_index" ON "conversations"."messages" USING btree ("room_id","sender","client_message_id") WHERE client_message_id is not null;--> statement-breakpoint
CREATE INDEX "outbox_unrelayed_index" ON "conversations"."outbox" USING btree ("sequence") WHERE relayed_at is null;--> statement-breakpoint
CREATE INDEX "rooms_buyer_index" ON "conversations"."rooms" USING btree ("buyer");--> statement-breakpoint
CREATE INDEX "rooms_seller_index" ON "conversations"."rooms" USING btree ("seller");