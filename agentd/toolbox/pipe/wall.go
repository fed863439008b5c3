package pipe

// Wall is what a wall container reads from its standard input, as one frame.
type Wall struct {
	// Name is the table's; Bridges is how the names of the containers' bridges begin.
	Name    string `json:"name"`
	Bridges string `json:"bridges,omitempty"`
	// Bridge is one more: the engine's own, which its builds use. "" for none.
	Bridge string `json:"bridge,omitempty"`
	// Reach are TCP ports of the host that containers may connect to.
	Reach []uint16 `json:"reach,omitempty"`
	// Down takes the wall away.
	Down bool `json:"down,omitempty"`
}

// Walled is its answer.
type Walled struct {
	// Failed is a sentence; "" says that it was done.
	Failed string `json:"failed,omitempty"`
}
