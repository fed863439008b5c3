-- Who triggered a run in a distributed trace: ci.Trace as JSON; NULL for nobody who
-- said, and of deliveries where the one came from that told of them.

ALTER TABLE runs ADD COLUMN trace TEXT;
ALTER TABLE webhooks ADD COLUMN trace TEXT;
