package ci

import "time"

// Webhook is one delivery of a forge: somebody told us of one event. It is
// recorded before it is answered, and acted on once.
type Webhook struct {
	// Seq is its place in the order in which deliveries came.
	Seq   int64
	Forge string
	// ID is the forge's own name of the delivery, the same when it is delivered again.
	ID string
	// Event and Action are as the forge has them: "pull_request", "opened".
	Event  string
	Action string
	// Repository is the full name of the repository that it is about; "" when it is about none.
	Repository string
	// Body is the JSON as it came; empty once it is settled.
	Body []byte
	// Digest is the body's, in hex, where one body can't rightly come twice; "" elsewhere.
	Digest     string
	ReceivedAt time.Time
	// SettledAt is when it was acted on; zero while it waits.
	SettledAt time.Time
	// Tries is how often it was tried to act on it, NextAt when the next try is due.
	Tries  int
	NextAt time.Time
	// Note says in a sentence what came of it, or why nothing did; while it
	// waits, why the last try failed.
	Note string
	// Runs are those that it started.
	Runs []RunRef
	// Trace is where it came from in a distributed trace; nil when nobody said.
	Trace *Trace
}

// Settlement is what comes of a webhook; all of it becomes true at once.
type Settlement struct {
	// Seq is the webhook's, Holder who holds it.
	Seq    int64
	Holder string
	Note   string
	// Triggers are the runs that it asks for.
	Triggers []Trigger
	// Aborts are runs that it asks the end of.
	Aborts []Abortion
	// Held are checks of commits that wait for a person's yes.
	Held []OpenCheck
	// Pins gives triggers the number of their repository, by name.
	Pins map[string]int64
}

// Abortion asks for the end of a run.
type Abortion struct {
	Run RunRef
	By  string
}

// MaxWebhook is how large a delivery may be, in bytes; GitHub sends at most as much.
const MaxWebhook = 25 << 20
