-- Who triggered a run in a distributed trace: ci.Trace as JSON; '' for nobody who said.
ALTER TABLE pipeline_runs ADD COLUMN trace TEXT NOT NULL DEFAULT '';
