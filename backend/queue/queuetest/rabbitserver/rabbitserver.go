// Package rabbitserver starts a real RabbitMQ server for tests, from the
// programs that are installed on the machine, and throws it away afterwards.
package rabbitserver

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/porttest"
)

// scripts is where Debian's package has the programs that do not switch to another user.
const scripts = "/usr/lib/rabbitmq/bin"

// slow bounds everything that the server is asked for. A machine that does a
// lot else needs a minute to start one.
const slow = 3 * time.Minute

// Server is a running server. Its methods may be called at the same time,
// except for those that stop it.
type Server struct {
	dir   string
	home  string // has the secret that the nodes of a cluster share
	ports [3]int // of clients, of other nodes, of the daemon that knows the nodes
	// shared says that a cluster has started that daemon; its port is known then.
	shared bool
	more   []string
	count  int

	mu     sync.Mutex
	vhosts []string
	shell  *shell
}

// Start starts a server that ends with the test; config are more lines of its
// configuration. Where the programs are missing the test fails and says what
// to install: it is never skipped.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	dir := folder(t)
	s := &Server{dir: dir, home: dir, more: config}
	s.startOften(t)
	return s
}

// folder is a new one, short enough for the paths of sockets; without the
// programs the test fails here.
func folder(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(scripts, "rabbitmq-server")); err != nil {
		t.Fatal("these tests need a RabbitMQ server; install it (Debian: apt-get install rabbitmq-server)")
	}
	dir, err := os.MkdirTemp("", "rabbit")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startOften starts the server, on other ports if somebody has taken one meanwhile.
func (s *Server) startOften(t testing.TB) {
	t.Helper()
	t.Cleanup(s.kill) // before the folder is removed
	for try := 1; ; try++ {
		err := s.start(t)
		if err == nil {
			return
		}
		require.Less(t, try, 3, "RabbitMQ does not start: %v\n%s", err, s.log())
		s.kill()
	}
}

// start writes the configuration for ports that are free now, and starts.
func (s *Server) start(t testing.TB) error {
	n := len(s.ports)
	if s.shared {
		n-- // the daemon runs
	}
	copy(s.ports[:], porttest.Free(t, "127.0.0.1", n))
	lines := append([]string{
		fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d", s.ports[0]),
		"default_user = ci", "default_pass = secret",
		"log.console = false", "log.file.level = info",
		"vm_memory_high_watermark.absolute = 1GB", "disk_free_limit.absolute = 1MB",
	}, s.more...)
	for name, text := range map[string]string{"rabbitmq.conf": strings.Join(lines, "\n") + "\n", "env": "", "plugins": "[].\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
	}
	return s.run()
}

// run starts the programs. A small shell holds the daemon that knows the nodes
// beside the server, which ends with its input: when this process does.
func (s *Server) run() error {
	script := `epmd -address 127.0.0.1 >/dev/null 2>&1 & e=$!; "$@"; kill $e; wait $e`
	if s.shared {
		script = `exec "$@"`
	}
	cmd := exec.Command("/bin/sh", "-c", script, "sh", filepath.Join(scripts, "rabbitmq-server"))
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C at the terminal is for the test alone
	at := func(name string) string { return filepath.Join(s.dir, name) }
	cmd.Env = append(os.Environ(),
		"HOME="+s.home, "PATH="+os.Getenv("PATH")+":/usr/bin:/bin", "LC_ALL=C.UTF-8",
		fmt.Sprintf("ERL_EPMD_PORT=%d", s.ports[2]), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME="+s.node(), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", s.ports[1]),
		"RABBITMQ_CONF_ENV_FILE="+at("env"), "RABBITMQ_CONFIG_FILE="+at("rabbitmq"), "RABBITMQ_ADVANCED_CONFIG_FILE="+at("none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+at("plugins"), "RABBITMQ_MNESIA_BASE="+at("data"), "RABBITMQ_LOG_BASE="+at("log"),
		"RABBITMQ_ALLOW_INPUT=1",
		// Threads that spin while they wait for work would take the machine from everyone else.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
	)
	sh, err := newShell(cmd, at("output"))
	if err != nil {
		return err
	}
	s.shell = sh
	return s.ready()
}

// node is the name that other nodes know it by.
func (s *Server) node() string { return fmt.Sprintf("ci-%d@localhost", s.ports[0]) }

// ready waits until clients are served, and makes the vhosts anew where the store is empty.
func (s *Server) ready() error {
	const booted = `(fun W() -> case rabbit:is_booted() of true -> ok; _ -> timer:sleep(50), W() end end)()`
	for end := time.Now().Add(slow); ; {
		answer, err := s.shell.eval(booted)
		if err != nil {
			return err
		}
		if answer == "ok" {
			break
		}
		if time.Now().After(end) { // it answers before it knows its own programs
			return fmt.Errorf("RabbitMQ is not there after %s; its last answer: %s", slow, answer)
		}
	}
	for _, v := range s.vhosts {
		if err := s.add(v); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) add(vhost string) error {
	_, err := s.shell.eval(fmt.Sprintf(`case rabbit_vhost:exists(<<"%[1]s">>) of true -> ok; false -> rabbit_vhost:add(<<"%[1]s">>, <<"ci">>) end, `+
		`rabbit_auth_backend_internal:set_permissions(<<"ci">>, <<"%[1]s">>, <<".*">>, <<".*">>, <<".*">>, <<"ci">>)`, vhost))
	return err
}

// URL is the server's address, with a vhost of its own for each call.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	v := fmt.Sprintf("test%d", s.count)
	s.vhosts = append(s.vhosts, v)
	require.NoError(t, s.add(v))
	return s.address(v)
}

func (s *Server) address(vhost string) string {
	u := url.URL{Scheme: "amqp", User: url.UserPassword("ci", "secret"), Host: fmt.Sprintf("127.0.0.1:%d", s.ports[0]), Path: "/" + vhost}
	return u.String()
}

// Eval has the server's own Erlang shell work out an expression, and returns
// what it prints as.
func (s *Server) Eval(t testing.TB, expression string) string {
	t.Helper()
	answer, err := s.shell.eval(expression)
	require.NoError(t, err)
	return answer
}

// Restart stops RabbitMQ in an orderly way and starts it again, within its
// Erlang machine.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Eval(t, "rabbit:stop()")
	// It is asked until it has: a start that meets the mark of the one before says
	// ok, and does nothing.
	require.Equal(t, "ok", s.Eval(t, "(fun W() -> rabbit:start(), case rabbit:is_booted() of true -> ok; _ -> timer:sleep(50), W() end end)()"))
	require.NoError(t, s.ready())
}

// Kill ends the server as a power cut would, and starts it again; with nothing
// in its store if wipe is set.
func (s *Server) Kill(t testing.TB, wipe bool) {
	t.Helper()
	s.Down()
	if wipe {
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "data")))
	}
	s.Up(t)
}

// Down ends the server as a power cut would.
func (s *Server) Down() { s.kill() }

// Up starts it again.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	require.NoError(t, s.run(), "%s", s.log())
}

func (s *Server) kill() {
	if s.shell != nil {
		s.shell.kill()
	}
}

// log is the end of what the server says.
func (s *Server) log() string {
	files, _ := filepath.Glob(filepath.Join(s.dir, "log", "*.log"))
	var b strings.Builder
	for _, f := range append(files, filepath.Join(s.dir, "output")) {
		text, _ := os.ReadFile(f)
		b.Write(text[max(0, len(text)-4000):])
	}
	return b.String()
}

// Pause stops all of the server's threads where they are, until Resume. On a
// busy machine that takes a moment: it returns when they stand still.
func (s *Server) Pause() {
	s.shell.signal(syscall.SIGSTOP)
	for end := time.Now().Add(slow); !s.shell.stopped() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// Resume lets them go on.
func (s *Server) Resume() { s.shell.signal(syscall.SIGCONT) }
