-- Done runs by their end: the oldest are forgotten first.
CREATE INDEX pipeline_runs_done ON pipeline_runs (done_at, id) WHERE status = 'done';
