package pipe

// Probe is what the agent writes on a Probe stream: addresses of the run's
// network that are to take a connection. The agent gives up by closing the stream.
type Probe struct {
	Addresses []string `json:"addresses"` // "10.231.128.3:5432"
	// Any is content with one of them.
	Any bool `json:"any,omitempty"`
}

// Probed is the answer, once they do.
type Probed struct{}
