package ci

import "fmt"

// Origin says which event of a forge a run comes of, and where the forge shows
// its check. It is stored with the run and never changes.
type Origin struct {
	// Forge is the name of the forge, Trigger that of the event trigger; a check has the trigger's name.
	// Trigger is "" of runs that somebody started at a fork's commit, of other jobs than
	// the trigger's: they have no check, and what follows is of the event that brought the commit.
	Forge   string
	Trigger string
	Event   EventKind
	// Webhook is the id of the delivery that told of the event, Seq its place
	// in the order in which deliveries came.
	Webhook string
	Seq     int64
	// Installation is the GitHub App's at the repository's owner; 0 without an App.
	Installation int64
	// Repository is the number that the forge knows the repository by, and
	// FullName its "owner/name" at the time of the event.
	Repository int64
	FullName   string
	// HeadSHA is the commit that the check stands at. A git job's run checks it out.
	HeadSHA string
	// Ref is the full name of what was pushed; "" for pull requests.
	Ref string
	// Branch is the branch of the head, Base the branch that a pull request is
	// to be merged into, Tag a tag's or release's name; each "" where there is none.
	Branch string
	Base   string
	Tag    string
	// Pull is the pull request's number; 0 when there is none.
	Pull int
	// Fork says that the commit comes from another repository: the run gets no
	// secrets, no SSH agent and no token.
	Fork bool
	// ConfigBranch is the branch whose job file counts; "" is the one at HeadSHA.
	ConfigBranch string
	// Sender is who caused the event.
	Sender Person
	// Approver is who let the job file of a fork's commit count; nil when nobody had to.
	Approver *Person
}

// Person is somebody at a forge. Login is text for people: only ID says who it
// is, since logins can be changed and taken over.
type Person struct {
	ID    int64
	Login string
}

// Repo is the key of the repository for comparisons: the forge, and the number it knows it by.
func (o *Origin) Repo() string { return fmt.Sprintf("%s/%d", o.Forge, o.Repository) }

// Line is what newer runs of one trigger supersede older ones of: a pull
// request, or what was pushed to.
func (o *Origin) Line() string {
	if o.Pull != 0 {
		return fmt.Sprintf("%s pull/%d", o.Trigger, o.Pull)
	}
	return o.Trigger + " " + o.Ref
}

// Withheld says that the run must get nothing confidential.
func (o *Origin) Withheld() bool { return o != nil && o.Fork }

// CommitOrigin is that an event of a forge has brought a commit to a repository. It
// is remembered for good: a fork's commit does not become the repository's own when
// the run that it was known by is pruned.
type CommitOrigin struct {
	SHA string
	// Repo is the repository's Origin.Repo, Run the newest run that came of it so.
	Repo string
	Run  int64
	// Fork says that the event was of a fork's commit. Job, Git and Origin are then
	// those of Run; of the repository's own commits they are not kept.
	Fork   bool
	Job    string
	Git    *Git
	Origin *Origin
}
