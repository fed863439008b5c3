// Package source is the planner's eyes: it finds the commit of a branch and
// reads a few files of exactly one commit, without cloning the rest. It
// drives git(1) with nothing of our own environment, and lets it reach only the
// hosts that the policy allows.
package source

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"ci/pkg/ci"
)

// MaxFile is how large a job file may be, in bytes.
const MaxFile = 256 << 10

// Config is what a Source is made of. All fields may be zero.
type Config struct {
	// Allow names hosts ("host" or "host:port") that may be reached without
	// encryption and at private addresses.
	Allow []string
	// Git is the program; "git" by default.
	Git string
	// Dir is where temporary repositories are made; "" means the system's temporary folder.
	Dir string
	// Timeout bounds one Plan (1 min).
	Timeout time.Duration
	// CAFile is a PEM file with the authorities that https servers are checked against; "" means the system's.
	CAFile string
	// Resolve looks a host's addresses up; the default asks the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Log     *slog.Logger
}

// Source reads job files from git repositories. It is safe for concurrent use.
type Source struct {
	cfg   Config
	allow []allowed
	log   *slog.Logger
}

// New checks cfg and makes a Source. It fails when git is not installed or an
// Allow entry makes no sense.
func New(cfg Config) (*Source, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	program, err := exec.LookPath(cmp.Or(cfg.Git, "git"))
	if err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "git is needed to read job files and was not found; install it, or name the program: %w", err)
	}
	cfg.Git = program
	s := &Source{cfg: cfg, log: cfg.Log}
	for _, entry := range cfg.Allow {
		a, err := parseAllowed(entry)
		if err != nil {
			return nil, err
		}
		s.allow = append(s.allow, a)
	}
	return s, tidy(cfg.Dir)
}

// CheckURL says whether a job may have this git URL: its form and what is
// known of its host without asking the network. Errors are CodeInvalid and name git.url.
func (s *Source) CheckURL(url string) error {
	r, why := parseURL(url)
	if why == "" {
		why = s.refuses(r)
	}
	if why != "" {
		return badURL(why)
	}
	return nil
}

func badURL(why string) error {
	return &ci.Error{Code: ci.CodeInvalid, Message: "the git URL is not allowed", Fields: []ci.Field{{Path: "git.url", Message: why}}}
}

// Read gives the engine one more regular file of the commit that is being
// planned, by its path in the repository. CodeNotFound says that it is not there,
// CodeInvalid that it is not fit, CodeUnavailable that the repository could not be asked.
type Read = func(path string) ([]byte, error)

// Plan finds the commit that a run is of and its job file, and hands both to
// parse, which may read further files of the same commit until it returns. Of
// sha and branch at most one is given; neither means the repository's default
// branch. access is what the repository accepts; anybody's has nothing.
//
// CodeInvalid is final, and its message is fit to be the run's reason.
// CodeUnavailable means that the repository could not be asked; try later. The
// end of ctx comes back as its own error, and parse's error as it is.
func (s *Source) Plan(ctx context.Context, git ci.Git, access ci.GitAccess, sha, branch string, parse func(commit string, file []byte, read Read) error) error {
	r, why := parseURL(git.URL)
	switch {
	case why != "":
	case sha != "" && !ci.ValidCommit(sha):
		return ci.Errorf(ci.CodeInvalid, "%q is not a full commit id", sha)
	case branch != "" && !ci.ValidBranch(branch):
		return ci.Errorf(ci.CodeInvalid, "%q is not a valid branch name", branch)
	default:
		why = s.refuses(r)
	}
	if why != "" {
		return badURL(why)
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	addrs, err := s.resolve(limited, r)
	if err != nil {
		return err
	}
	key, err := s.keyFor(limited, r, access.SSH)
	if err != nil {
		return err
	}
	defer key.close()
	dir, err := os.MkdirTemp(s.cfg.Dir, "ci-plan-*")
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "there is no room to read the job file: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("a temporary repository could not be removed", "repo", git.URL, "err", err)
		}
	}()
	t := &tree{source: s, remote: r, key: key, http: access.HTTP, addrs: addrs, dir: dir, sha: sha, branch: branch}
	err = t.plan(limited, git.ConfigPath, parse)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && errors.Is(limited.Err(), context.DeadlineExceeded):
		return ci.Errorf(ci.CodeUnavailable, "%s did not answer in full within %s", git.URL, s.cfg.Timeout)
	}
	return err
}
