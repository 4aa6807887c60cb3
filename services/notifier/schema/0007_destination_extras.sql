-- The user's wording of messages to a destination, as Mustache templates. Empty: the usual one.
-- Besides those of 0005_delivery.sql there are the kind 10 APPRISE and the reason to be disabled 4 UNSUBSCRIBED.
ALTER TABLE stockalert_notifier.destinations
  ADD COLUMN template_title text NOT NULL DEFAULT '',
  ADD COLUMN template_text text NOT NULL DEFAULT '';
