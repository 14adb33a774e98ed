ALTER TABLE "fleet"."unit_state" ADD COLUMN "version" bigint DEFAULT (extract(epoch from clock_timestamp()) * 1000)::bigint NOT NULL;--> statement-breakpoint
-- Every report changes the unit's row: with room beside it the new one lands on the same page and no index is touched.
ALTER TABLE "fleet"."unit_state" SET (fillfactor = 50);
