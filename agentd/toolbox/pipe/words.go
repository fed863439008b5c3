package pipe

// Kind says what a stream is for.
type Kind string

// The kinds of streams. There is one Control and one Console stream, in that
// order, any number of Probe streams before the script, of Relay streams until
// its end, and of Collect streams after it.
const (
	Control Kind = "control" // Commands down, Events up
	Console Kind = "console" // up: the script's output, as it wrote it, then EOF
	Collect Kind = "collect" // one Collection down; a Packing up, the bytes in pieces, a Packed
	Relay   Kind = "relay"   // idle until a Call comes up; then the bytes of one connection
	Probing Kind = "probe"   // one Probe down; a Probed up when its addresses take connections
	// Watching is a Watch down and any number of Used up, from init's greeting to its end.
	Watching Kind = "watch"
)

// Opening is the first frame of every stream.
type Opening struct {
	Kind Kind `json:"kind"`
	// Listen is, of a Relay stream, which of the listed addresses it is for.
	Listen int `json:"listen,omitempty"`
}

// Listen is an address inside the container whose connections the agent
// serves. The agent keeps one idle Relay stream open for each; a connection
// takes it, and the agent opens the next. So a container opens no streams, and
// how many connections there are is the agent's to say.
type Listen struct {
	Network string `json:"network"` // unix or tcp
	Address string `json:"address"` // a path, or an address of the loopback
}

// Call is what the container's side writes on an idle Relay stream when
// somebody has connected.
type Call struct{}

// MaxCall limits the frame of a Call.
const MaxCall = 1 << 10

// Command is one message down the control stream. Exactly one field is set.
type Command struct {
	Order  *Order `json:"order,omitempty"`
	Signal string `json:"signal,omitempty"` // TERM or KILL
}

// Order is all that init needs to start the script. It comes once.
type Order struct {
	Script string `json:"script"`
	// Env is the whole environment but HOME, USER and LOGNAME, which init adds where they are missing.
	Env []string `json:"env"`
	// User is a name or uid, with or without ":" and a group; "" is root.
	User string `json:"user"`
	// Workdir is absolute. Init makes it where it is missing.
	Workdir string `json:"workdir"`
	// Own makes everything in Workdir the user's: it holds a checkout.
	Own bool `json:"own,omitempty"`
	// Shell is a path in the image; "" lets init look for one.
	Shell string `json:"shell,omitempty"`
	// Tools is a folder that is searched for programs after all of PATH; "" is none.
	Tools string `json:"tools,omitempty"`
	// Files are put back to what is said here before the script starts: they
	// are shared with the runs that used the same network before.
	Files []File `json:"files,omitempty"`
	// Listen are addresses that the script may connect to, from its first moment to its end.
	Listen []Listen `json:"listen,omitempty"`
	// KnownHosts are lines of a known_hosts file that the image's ssh is to
	// believe besides its own. Where there are some, a script whose image has no
	// ssh finds the toolbox's.
	KnownHosts string `json:"knownHosts,omitempty"`
}

// File is a file's path and content.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// Event is one message up the control stream. Exactly one field is set.
type Event struct {
	Hello   *Hello `json:"hello,omitempty"`
	Started bool   `json:"started,omitempty"` // the script's process exists
	Exit    *Exit  `json:"exit,omitempty"`    // it ended, and all its output is sent
	// Failed is a sentence: the script could not be started. Nothing follows.
	Failed string `json:"failed,omitempty"`
}

// Hello is init's first message.
type Hello struct {
	Version int `json:"version"`
}

// Exit is how the script ended.
type Exit struct {
	Code   int    `json:"code"`             // 128+n after signal n
	Signal string `json:"signal,omitempty"` // for example SIGTERM
	OOM    bool   `json:"oom,omitempty"`    // the memory limit killed a process
}

// Collection asks for one result.
type Collection struct {
	Path     string `json:"path"` // a path or glob
	MaxBytes int64  `json:"maxBytes"`
	MaxFiles int    `json:"maxFiles"`
	// Zip wants a zip even of a single file that a glob matches.
	Zip bool `json:"zip,omitempty"`
}

// Packing is the answer to a Collection. Unless Missing is set, the bytes follow.
type Packing struct {
	// File is the base name of a single file that comes as it is; "" says that a zip comes.
	File  string `json:"file,omitempty"`
	Files int    `json:"files"`
	// Missing says why nothing comes.
	Missing  string `json:"missing,omitempty"`
	TooLarge bool   `json:"tooLarge,omitempty"`
	// Note says what was left out of what comes.
	Note string `json:"note,omitempty"`
}

// Packed follows a result's bytes. A non-empty Failed says that they are not to be kept.
type Packed struct {
	Failed   string `json:"failed,omitempty"`
	TooLarge bool   `json:"tooLarge,omitempty"`
}

// Where the toolbox is inside every container.
const (
	Folder = "/.ci"
	Binary = Folder + "/ci-agent"
	// Tools has the binary under the names of programs for scripts: ci.
	Tools = Folder + "/bin"
)

// Fetch is what a checkout container gets, as one frame down its Control
// stream. Relay streams may follow.
type Fetch struct {
	URL        string `json:"url"`
	CommitSHA  string `json:"commitSha"`
	Depth      int    `json:"depth"` // commits of history; 0 means all
	Submodules bool   `json:"submodules,omitempty"`
	Dir        string `json:"dir"` // an empty folder
	// KnownHosts are the lines of the known_hosts file that ssh believes, and no other.
	KnownHosts string `json:"knownHosts,omitempty"`
	// Agent is where an SSH agent is listened for; the agent serves it.
	Agent *Listen `json:"agent,omitempty"`
	// Authorization is what the repository's own server is shown over HTTP; "" for nothing.
	Authorization string `json:"authorization,omitempty"`
	// Mirror is a folder where the repository is kept for later checkouts; "" for none.
	Mirror string `json:"mirror,omitempty"`
}

// Fetched is its answer: any number of frames with Print, and a last one with
// Done.
type Fetched struct {
	// Print is a line of git's, for the console.
	Print string `json:"print,omitempty"`
	Done  bool   `json:"done,omitempty"`
	// Failed is a sentence; "" says that Dir holds the commit.
	Failed string `json:"failed,omitempty"`
	// Final says that another attempt can't succeed: there is no such commit.
	Final bool `json:"final,omitempty"`
	// Size is how many bytes the mirror has, or without one the repository.
	Size int64 `json:"size,omitempty"`
}

// Where the toolbox is inside a RUN step of a build. BuildKit mounts in the
// order of names, and this one comes after all that a Dockerfile may name, so
// that nothing is ever mounted over it.
const (
	StepFolder = "/~ci"
	StepBinary = StepFolder + "/ci-agent"
)

// StepLimits are what a RUN step may use, as JSON in the variable StepLimitsIn.
type StepLimits struct {
	Memory int64 `json:"memory"` // bytes
	Pids   int64 `json:"pids"`
	// Disk is how many bytes it may write, less than 0 for any number; Floor how
	// many have to stay free.
	Disk  int64 `json:"disk"`
	Floor int64 `json:"floor"`
	// Env are the step's own values of the variable and of its small twin.
	Env []string `json:"env,omitempty"`
}

// StepLimitsIn is the variable in which a step gets its limits. It is one of
// those for proxies: they are the only ones that BuildKit leaves out when it
// asks whether it has done a step before, so that other limits do not make
// other steps.
const StepLimitsIn = "FTP_PROXY"

// StepEnded begins the line that a step prints last when it was over a limit.
const StepEnded = "ci: this step was ended: "
