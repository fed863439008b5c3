package pipe

// BuildContext is the first frame of a stream to a context container: it asks
// for one build's context. The answer is a BuildFiles; unless that has failed,
// the stream then is the far end of the engine's build session (HTTP/2), which
// fetches what it needs of them. A stream that is closed instead needs nothing.
type BuildContext struct {
	// Dir is the checkout, Context a folder and Dockerfile a file in it.
	Dir        string `json:"dir"`
	Context    string `json:"context"`
	Dockerfile string `json:"dockerfile"`
	// Git keeps the repository itself (.git) in the context.
	Git      bool  `json:"git,omitempty"`
	MaxFiles int   `json:"maxFiles"`
	MaxBytes int64 `json:"maxBytes"`
	// Watch, when set, asks for no context: Used frames follow with what is
	// Free of the engine's disk, at once and with each Step, until the stream is closed.
	Watch *Watch `json:"watch,omitempty"`
}

// BuildFiles says what a context is.
type BuildFiles struct {
	// Failed is a sentence: the context can't be had. Nothing follows.
	Failed string `json:"failed,omitempty"`
	// Digest is the SHA-256, in hex, of all files, links and modes, and of no times or owners.
	Digest     string `json:"digest,omitempty"`
	Files      int    `json:"files,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
	Dockerfile []byte `json:"dockerfile,omitempty"`
}

// Limits of a build in bytes: its Dockerfile, and a BuildFiles that holds one.
const (
	MaxDockerfile = 1 << 20
	MaxBuildFiles = 2 << 20
)

// The names under which a build session offers the two folders of a build, and
// the Dockerfile's in its own.
const (
	ContextDir     = "context"
	DockerfileDir  = "dockerfile"
	DockerfileName = "Dockerfile"
)
