package engine

import "strconv"

// topic names a bus topic about one run.
func topic(kind string, run int64) string { return kind + "." + strconv.FormatInt(run, 10) }

// abortTopic is where the agent that holds a run hears of its abort.
func abortTopic(agent string) string { return "abort." + agent }
