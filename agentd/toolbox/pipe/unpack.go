package pipe

// Unpack is what an unpack container reads from its standard input, as one
// frame. A tar archive in pieces follows.
type Unpack struct {
	Dir string `json:"dir"` // an empty folder
}

// Unpacked is its answer on standard output, once it has read everything.
type Unpacked struct {
	// Failed is a sentence; "" says that Dir holds the archive.
	Failed string `json:"failed,omitempty"`
}
