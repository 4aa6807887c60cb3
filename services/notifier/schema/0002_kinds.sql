-- Kinds of notifications. What the version before stored, and stores while it is at work beside, are triggers: kind 1, and their key is that
-- of their trigger, which the index notifications_trigger keeps unique.
ALTER TABLE stockalert_notifier.notifications
  ADD COLUMN kind smallint NOT NULL DEFAULT 1,            -- 1 TRIGGER, 2 THROTTLED.
  ADD COLUMN key text COLLATE "C",                        -- Of its kind, unique a user: a trigger's is <alert>/<number>. Null: see above.
  ADD COLUMN throttled boolean NOT NULL DEFAULT false,    -- A trigger that streams leave to the THROTTLED one after it.
  ADD COLUMN folded_count bigint NOT NULL DEFAULT 0;      -- How many triggers a THROTTLED one stands for.
-- Notifications that are of no alert have, for the version before, the user's id in alert_id and their own sequence in trigger_number.
CREATE UNIQUE INDEX notifications_key ON stockalert_notifier.notifications (user_id, kind, key) WHERE key IS NOT NULL;
