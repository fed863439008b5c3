package rig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Cid is one cid with its own address, folder and agent. It may be started,
// stopped and killed as often as one likes; these stay the same.
type Cid struct {
	*Process
	URL   string
	Data  string
	Agent string // its agent's id
	Token string // admin's; known once it has started

	addr string
	bin  Binaries
	args []string
	env  []string
}

// readyLimit is how long a cid may take to answer, on a machine that is busy.
const readyLimit = time.Minute

// NewCid chooses an address for a cid; nothing is started yet. Tests share the
// machine with others, whose load must not keep the agent from taking runs: a
// threshold of 1 never refuses for load.
func NewCid(bin Binaries, data string, env []string, args ...string) (*Cid, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	c := &Cid{URL: "http://" + addr, Data: data, Agent: "e2e-" + Random(), addr: addr, bin: bin, env: env}
	c.args = append([]string{
		"--data", data, "--listen", addr, "--agent-id", c.Agent, "--log-level", "debug",
		"--agent-cpus", "4", "--agent-memory", "8GiB", "--agent-max-load", "1",
	}, args...)
	return c, os.MkdirAll(data, 0o700)
}

// LogFile is where the output of all its lives goes.
func (c *Cid) LogFile() string { return filepath.Join(c.Data, "cid.log") }

// Launch starts the process and does not wait for it.
func (c *Cid) Launch(more ...string) error {
	p, err := Launch(c.LogFile(), c.bin.Path("cid"), c.env, append(c.args, more...)...)
	c.Process = p
	return err
}

// Start starts the process and waits until it is ready.
func (c *Cid) Start(ctx context.Context, more ...string) error {
	if err := c.Launch(more...); err != nil {
		return err
	}
	return c.Ready(ctx)
}

// Ready waits until the cid answers and reads the admin's token.
func (c *Cid) Ready(ctx context.Context) error {
	err := Poll(ctx, readyLimit, func() error {
		if !c.Alive() {
			return errors.New("it has ended")
		}
		return Answers(c.URL + "/readyz")
	})
	if err != nil {
		return fmt.Errorf("cid is not ready: %w; its log ends so:\n%s", err, tail(c.LogFile(), 30))
	}
	c.Token, err = c.token(ctx)
	return err
}

// token is an admin's: the one in the cid's folder, or a new one, if the cid
// shares its database with another, which was given the first one.
func (c *Cid) token(ctx context.Context) (string, error) {
	file := filepath.Join(c.Data, "admin.token")
	token, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return strings.TrimSpace(string(token)), err
	}
	args := []string{"admin-token", "--data", c.Data}
	for i, a := range c.args[:len(c.args)-1] {
		if a == "--database" || a == "--token-key" {
			args = append(args, a, c.args[i+1])
		}
	}
	cmd := exec.CommandContext(ctx, c.bin.Path("cid"), args...)
	cmd.Env = c.env
	if token, err = cmd.Output(); err != nil {
		return "", fmt.Errorf("cid admin-token: %w", err)
	}
	return strings.TrimSpace(string(token)), os.WriteFile(file, token, 0o600)
}

// Client calls this cid as its admin.
func (c *Cid) Client() *Client { return NewClient(c.URL, c.Token) }

// End stops the cid, however it stands, and returns what is wrong then: it did
// not stop in order, or left something in Docker. What it left is removed, so
// that one failure does not spoil other tests.
func (c *Cid) End(ctx context.Context) error {
	var errs []error
	if c.Process != nil && c.Alive() {
		errs = append(errs, c.Stop(3*time.Minute))
	}
	return errors.Join(append(errs, Clean(ctx, c.Agent))...)
}

// Clean complains about what an agent has left in Docker, and removes it. The
// images that it built are no leftovers: it would use them again.
func Clean(ctx context.Context, agent string) error {
	d, err := OpenDocker()
	if err != nil {
		return nil // there is no Docker, so nothing is in it
	}
	if err := d.removeBuilt(ctx, agent); err != nil {
		return err
	}
	left, err := d.Objects(ctx, "ci.agent="+agent)
	if err != nil || len(left) == 0 {
		return err
	}
	removed := d.Remove(ctx, left)
	if left, err = d.withoutMiscounted(ctx, left); err != nil || len(left) == 0 {
		return err
	}
	return errors.Join(fmt.Errorf("agent %s left in Docker: %v", agent, left), removed)
}
