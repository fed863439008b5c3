package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// AgentBox is an agent in an image of its own, with a Docker engine in the same
// container, as deploy/docker has it, put together from programs of this machine.
type AgentBox struct {
	Gateway string // an address of the test's machine that the box reaches

	machine *Engine
}

// boxData is where the box's engine and agent keep what outlives the container.
const boxData = "/var/lib/ci-agent"

// boxAgent is the agent's own folder in it, on a disk that can be filled up: it has more than the gigabyte below which an agent takes no run.
const boxAgent = boxData + "/agent"

// NewAgentBox makes the image, and a network for the box. End it, also when this fails.
func NewAgentBox(ctx context.Context, bin Binaries) (*AgentBox, error) {
	contents, err := engineContents()
	if err != nil {
		return nil, err
	}
	git, err := gitPrograms()
	if err != nil {
		return nil, err
	}
	contents.Programs = append(append(contents.Programs, git...), bin.Path("ci-agent"))
	delete(contents.Texts, "/start")
	libraries, _ := filepath.Glob("/lib/*-linux-gnu") // where the agent looks for what its toolbox's programs need
	contents.Texts["/etc/ld.so.conf"] = strings.Join(libraries, "\n") + "\n"
	contents.Texts["/var/run/README"] = "an engine expects this folder\n"
	contents.Config = []string{
		"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CI_AGENT_DATA=" + boxAgent + " CI_ENGINE_FLAGS=--storage-driver=fuse-overlayfs",
		"VOLUME " + boxData,
	}
	outer, err := OpenDocker()
	if err != nil {
		return nil, err
	}
	b := &AgentBox{machine: &Engine{outer: outer}}
	if b.machine.image, err = outer.Image(ctx, "ci-e2e-agent", contents); err != nil {
		return b, err
	}
	err = b.machine.makeNetwork(ctx)
	b.Gateway = b.machine.Gateway
	return b, err
}

// gitPrograms are git and what it calls by itself for a fetch.
func gitPrograms() ([]string, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("this machine lacks git: %w", err)
	}
	programs := []string{find("git")}
	for _, helper := range []string{"git", "git-remote-http", "git-remote-https"} {
		programs = append(programs, filepath.Join(strings.TrimSpace(string(out)), helper))
	}
	return programs, nil
}

// Create makes the container, and returns the command that starts it, once or
// again: it hands signals on and ends with the container, and as it. The box
// ends by itself when ctx was to, should the test be killed.
func (b *AgentBox) Create(ctx context.Context, bin Binaries, env []string, args ...string) ([]string, error) {
	life := 15 * time.Minute
	if deadline, ok := ctx.Deadline(); ok {
		life = time.Until(deadline) + time.Minute
	}
	err := b.machine.create(ctx, map[string]any{
		"Image": b.machine.image, "Env": env, "Cmd": args,
		"Entrypoint": []string{"/bin/timeout", fmt.Sprintf("%.0f", life.Seconds()), bin.Path("ci-agent"), "with-engine"},
	}, map[string]any{"Tmpfs": map[string]string{boxAgent: "size=1500m"}})
	return []string{find("docker"), "start", "--attach", b.machine.container}, err
}

// Freeze has the box's engine answer nothing any more until Thaw. Its agent and
// its containers go on.
func (b *AgentBox) Freeze(ctx context.Context) error { return b.signal(ctx, "STOP") }

// Thaw is the end of Freeze.
func (b *AgentBox) Thaw(ctx context.Context) error { return b.signal(ctx, "CONT") }

func (b *AgentBox) signal(ctx context.Context, name string) error {
	// A box that has just started has no engine yet.
	return Poll(ctx, time.Minute, func() error { return b.exec(ctx, "/bin/killall", "-"+name, "dockerd") })
}

// StopEngine ends the box's engine in order, with all that it runs. Who looks
// after it starts another one. What an engine calls has its name, too, so it is
// known by its file.
func (b *AgentBox) StopEngine(ctx context.Context) error {
	return b.exec(ctx, "/bin/sh", "-c", "kill -TERM $(cat /run/ci-engine/docker.pid)")
}

// Kill ends the box at once with all that is in it, as kill -9 does.
func (b *AgentBox) Kill(ctx context.Context) error {
	_, err := b.machine.outer.call(ctx, http.MethodPost, "/containers/"+b.machine.container+"/kill?signal=KILL", nil)
	if err != nil {
		return err
	}
	return Poll(ctx, time.Minute, func() error {
		running, _, err := b.state(ctx)
		if err == nil && running {
			err = errors.New("the box still runs")
		}
		return err
	})
}

func (b *AgentBox) state(ctx context.Context) (running bool, status int, err error) {
	var seen struct {
		State struct {
			Running  bool
			ExitCode int
		}
	}
	err = b.machine.outer.Inspect(ctx, "containers/"+b.machine.container, &seen)
	return seen.State.Running, seen.State.ExitCode, err
}

// Fill takes all space that is left on the disk of the box's agent, until Free.
func (b *AgentBox) Fill(ctx context.Context) error {
	return b.exec(ctx, "/bin/sh", "-c", "! dd if=/dev/zero of="+boxAgent+"/filler bs=64k 2>/dev/null")
}

// Free is the end of Fill.
func (b *AgentBox) Free(ctx context.Context) error {
	return b.exec(ctx, "/bin/rm", boxAgent+"/filler")
}

func (b *AgentBox) exec(ctx context.Context, command ...string) error {
	_, err := b.output(ctx, command...)
	return err
}

func (b *AgentBox) output(ctx context.Context, command ...string) (string, error) {
	out, err := exec.CommandContext(ctx, find("docker"), append([]string{"exec", b.machine.container}, command...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s in the box: %w: %s", strings.Join(command, " "), err, out)
	}
	return string(out), nil
}

// Of names the files of containers that the box's engine has of a run.
func (b *AgentBox) Of(ctx context.Context, run int64) ([]string, error) {
	look := fmt.Sprintf(`grep -rlF '"ci.run":"%d"' %s/engine/containers 2>/dev/null || true`, run, boxData)
	out, err := b.output(ctx, "/bin/sh", "-c", look)
	return strings.Fields(out), err
}

// Status is what the kernel says of the box's agent and of who looks after it,
// as in /proc/PID/status.
func (b *AgentBox) Status(ctx context.Context) (string, error) {
	return b.output(ctx, "/bin/sh", "-c", "for p in $(pidof ci-agent); do cat /proc/$p/status; done")
}

// Files names the files in the folder of the box's agent, and those that it has
// open though they have no name any more.
func (b *AgentBox) Files(ctx context.Context) ([]string, error) {
	out, err := b.output(ctx, "/bin/sh", "-c", "find "+boxAgent+" ! -type d; for p in $(pidof ci-agent); do ls -l /proc/$p/fd; done | grep "+boxAgent+" || true")
	return strings.Split(strings.TrimSpace(out), "\n"), err
}

// Ended waits until a box that was told to end has ended, with status 0. The command that started it
// may end earlier: the engine's client hands a signal on, and not always waits.
func (b *AgentBox) Ended(ctx context.Context) error {
	var status int
	err := Poll(ctx, 2*time.Minute, func() error {
		running, code, err := b.state(ctx)
		if status = code; err == nil && running {
			err = errors.New("the box still runs")
		}
		return err
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("the box ended with status %d", status)
	}
	return err
}

// Bare waits for the end of a box as Ended does, and has another engine say what
// the box's has on its disk beside images: nothing, if its agent cleaned up.
func (b *AgentBox) Bare(ctx context.Context) (err error) {
	if err := b.Ended(ctx); err != nil {
		return err
	}
	e := &Engine{outer: b.machine.outer, network: b.machine.network, Gateway: b.Gateway}
	defer func() {
		if e.container != "" {
			err = errors.Join(err, e.outer.Remove(context.WithoutCancel(ctx), []string{"containers/" + e.container}))
		}
	}()
	err = e.launch(ctx, map[string]any{
		"Image": b.machine.image, "Tty": true,
		"Entrypoint": []string{"/bin/timeout", "300", "/bin/sh", "-c", "exec dockerd --host tcp://$(hostname -i):" + enginePort + " --tls=false --storage-driver=fuse-overlayfs --data-root " + boxData + "/engine"},
	}, b.machine.container)
	if err != nil {
		return err
	}
	if err := Poll(ctx, readyLimit, func() error { return e.answers(ctx) }); err != nil {
		return err
	}
	// Without the agent's own image it would be another folder than the agent's engine had.
	images, err := e.inner.call(ctx, http.MethodGet, "/images/json", nil)
	if err == nil && strings.TrimSpace(string(images)) == "[]" {
		err = errors.New("the box's engine has no image, not even its agent's")
	}
	return errors.Join(err, e.Bare(ctx))
}

// Said is the end of what the box said.
func (b *AgentBox) Said(ctx context.Context) string { return b.machine.Said(ctx) }

// End removes the box with everything in it.
func (b *AgentBox) End(ctx context.Context) error {
	if b == nil {
		return nil
	}
	var err error
	if m := b.machine; m.container != "" {
		err = m.outer.Remove(ctx, []string{"containers/" + m.container})
		m.container = ""
	}
	return errors.Join(err, b.machine.End(ctx))
}
