CREATE SCHEMA "chat";
--> statement-breakpoint
CREATE SEQUENCE "chat"."connections" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "chat"."bans" (
	"user_id" uuid PRIMARY KEY NOT NULL,
	"reason" text,
	"until" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "chat"."messages" (
	"room_id" bigint NOT NULL,
	"id" bigint GENERATED ALWAYS AS IDENTITY (sequence name "chat"."messages_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"sender_id" uuid NOT NULL,
	"temp_id" text NOT NULL,
	"message" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "messages_room_id_id_pk" PRIMARY KEY("room_id","id"),
	CONSTRAINT "messages_send" UNIQUE("room_id","sender_id","temp_id")
);
--> statement-breakpoint
CREATE TABLE "chat"."rooms" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "chat"."rooms_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"owner_id" uuid NOT NULL,
	"apartment_id" bigint,
	"participants" uuid[] NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "rooms_owner_participates" CHECK ("chat"."rooms"."owner_id" = any("chat"."rooms"."participants"))
);
--> statement-breakpoint
CREATE INDEX "rooms_participants_index" ON "chat"."rooms" USING gin ("participants");