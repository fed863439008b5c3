package attack

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
	"ci/pkg/sshkey/sshdtest"
)

// git servers over SSH: one that keys are pinned to, and one that would let
// the same keys in but is not pinned.
type sshServers struct{ pinned, other *sshdtest.Server }

func newSSHServers(t *testing.T) sshServers {
	t.Helper()
	return sshServers{sshdtest.Start(t, "0.0.0.0"), sshdtest.Start(t, "0.0.0.0")}
}

// reach are the settings by which a cid and its jobs reach both.
func (s sshServers) reach(host string) []string {
	a, b := strconv.Itoa(s.pinned.Port), strconv.Itoa(s.other.Port)
	return []string{"--git-allow", host + ":" + a, "--git-allow", host + ":" + b, "--agent-reach", a + "," + b}
}

// sshAttacks are at the key of a run's repository, which a script may use and not have.
func sshAttacks() []attack {
	return []attack{
		{
			name: "ssh-agent-harm", what: "emptying the agent, locking it, giving it other keys and nonsense, while another run uses one of its own", stops: "an agent of each run's own, which lists one key, signs log-ins and does nothing else",
			test: func(t *testing.T, w *world) {
				beside, count := w.loggingIn(t)
				key := w.sshKey(t)
				run := w.await(t, w.withSSH(t, key, spec{"ssh": true, "script": "burglar agent-harm\n" + login("PORT", "echo still in")}, nil))
				held(t, run.console)
				require.Contains(t, run.console, "still in\n")
				before := count()
				require.NoError(t, rig.Poll(t.Context(), patience, func() error {
					if count() < before+2 { // one may have been under way
						return fmt.Errorf("the run beside it has not logged in again")
					}
					return nil
				}))
				w.abort(t, beside)
			},
		},
		{
			name: "ssh-agent-elsewhere", what: "using the key where it is not for: a server that lets it in and is not pinned, whatever the script has ssh believe; a text; a forged proof; a forwarded agent", stops: "what is signed is a log-in to a server that has proved to hold a pinned host key, and nothing else",
			test: func(t *testing.T, w *world) {
				known := strings.TrimSpace(string(sshkey.KnownHosts([]ci.HostKey{w.ssh.other.Host(t, w.host)})))
				run := w.await(t, w.withSSH(t, w.sshKey(t), spec{"ssh": true, "script": prelude + "echo \"$KNOWN\" >>/etc/ssh/ssh_known_hosts\n" +
					login("PORT", "echo in at the right one") + "refuse " + login("OTHER", "echo in at the wrong one") + "burglar agent-sign\n"},
					map[string]string{"KNOWN": known, "PINNED": w.ssh.pinned.Keys[0].Key}))
				require.Contains(t, run.console, "in at the right one\n")
				require.NotContains(t, run.console, "in at the wrong one\n")
				require.Contains(t, run.console, "is not among the hosts of the key", "the agent was never asked")
				held(t, run.console)
			},
		},
		{
			name: "ssh-agent-others", what: "the agent's socket, by another user of the container, and in a run that may not use it", stops: "it belongs to the script's user alone, and only `ssh: true` makes one",
			test: func(t *testing.T, w *world) {
				run := w.await(t, w.withSSH(t, w.sshKey(t), spec{"ssh": true, "script": "burglar agent-other\n" + login("PORT", "echo it is there")}, nil))
				held(t, run.console)
				require.Contains(t, run.console, "it is there\n")
				run = w.await(t, w.withSSH(t, w.sshKey(t), spec{"script": prelude + "[ -z \"$SSH_AUTH_SOCK\" ] && echo held: no socket is named || echo BREACH\nSSH_AUTH_SOCK=" + agentSocket + " burglar agent-call\nnothing " + agentSocket + "\n"}, nil))
				held(t, run.console)
			},
		},
		{
			name: "ssh-agent-later", what: "the agent after the script's end: by a process that leaves its session, by the socket as a result, in the next run", stops: "it ends with the script, all processes are killed, and results are regular files",
			test: func(t *testing.T, w *world) {
				const keep = `setsid sh -c 'while :; do burglar agent-call >>kept; done' >/dev/null 2>&1 &
until [ -s kept ]; do sleep 0.1; done; ln -s $SSH_AUTH_SOCK link; echo begun`
				run := w.await(t, w.withSSH(t, w.sshKey(t), spec{"ssh": true, "script": keep, "results": spec{"socket": "link", "near": "*"}}, nil))
				require.Contains(t, run.console, "begun\n")
				require.NotContains(t, w.results(t, run.Run), "socket")
				require.NoError(t, rig.Poll(t.Context(), patience, func() error {
					left, err := w.docker.Objects(t.Context(), "ci.agent="+w.cid.Agent, fmt.Sprintf("ci.run=%d", run.ID))
					if err == nil && len(left) > 0 {
						err = fmt.Errorf("still there: %v", left)
					}
					return err
				}))
				held(t, w.play(t, spec{"script": prelude + "nothing " + agentSocket + " kept link\nSSH_AUTH_SOCK=" + agentSocket + " burglar agent-call\n"}).console)
			},
		},
		{
			name: "ssh-key-material", what: "the private key itself: in the environment, in files, in `/proc`, in the checkout's leavings, in what the engine tells", stops: "it stays in the memory of our own processes; a relay carries questions and answers",
			test: func(t *testing.T, w *world) {
				words := []string{"PRIVATE KEY", "openssh-key-v1", "b3BlbnNzaC1rZXktdjE"}
				const unlike = `PRIVATE [K]EY\|openssh-[k]ey-v1\|b3BlbnNzaC1[r]ZXktdjE` // the script's own text
				run := w.withSSH(t, w.sshKey(t), spec{"ssh": true, "script": prelude + "w='" + unlike + "'\nburglar init\n" +
					"if env | grep \"$w\"; then echo BREACH; else echo 'held: not in the environment'; fi\n" +
					"if " + everywhere + " | xargs grep -l -s \"$w\" | grep -v -e ^/bin/ -e ^/.ci/; then echo BREACH; else echo 'held: in no file'; fi\n" +
					"if cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -c \"$w\"; then echo BREACH; else echo 'held: in no process'; fi\n" +
					"if git config -l 2>/dev/null | grep -i identity; then echo BREACH; fi\necho looked; until [ -e /never ]; do sleep 1; done"}, nil)
				w.until(t, run, "looked\n")
				for _, word := range words {
					w.neverInspected(t, word)
				}
				w.neverInspected(t, agentSocket)
				w.abort(t, run)
				done := w.await(t, run)
				held(t, done.console)
				log, err := os.ReadFile(w.cid.LogFile())
				require.NoError(t, err)
				require.NotContains(t, string(log), "PRIVATE KEY")
			},
		},
		{
			name: "ssh-key-borrowed", what: "another project's key, by a token that may change one job only", stops: "who is limited to some jobs can't point a key at a repository",
			test: func(t *testing.T, w *world) {
				key := w.sshKey(t)
				name := w.put(t, "freestyle", spec{"script": "true", "resources": spec{"cpus": 0.5, "memory": "256MiB"}}, nil)
				var token struct{ Bearer string }
				require.NoError(t, w.client.Call(t.Context(), http.MethodPost, "/tokens", spec{"name": "limited" + rig.Random(), "role": "maintain", "jobs": []string{name}}, &token))
				require.NotEmpty(t, token.Bearer)
				limited := w.as(token.Bearer)
				require.NoError(t, limited.Call(t.Context(), http.MethodGet, "/jobs/"+name, nil, nil), "without that nothing is tried")
				a, err := limited.Do(t.Context(), http.MethodPut, "/jobs/"+name, []byte(text(t, spec{"git": spec{"url": w.sshURL("x"), "configPath": "job.yaml", "sshKey": key}})))
				require.NoError(t, err)
				require.Equal(t, http.StatusForbidden, a.Status, string(a.Body))
				for _, call := range []string{"PUT /ssh-keys/" + key, "DELETE /ssh-keys/" + key, "PUT /ssh-keys/mine"} {
					method, path, _ := strings.Cut(call, " ")
					a, err := limited.Do(t.Context(), method, path, []byte("{}"))
					require.NoError(t, err)
					require.Equal(t, http.StatusForbidden, a.Status, "%s: %s", call, a.Body)
				}
			},
		},
		{
			name: "submodule-ssh", what: "a submodule at another SSH server, to have the checkout log in there by the run's key", stops: "the checkout's ssh connects to the key's hosts at their ports only, and its agent signs for no other",
			test: func(t *testing.T, w *world) {
				for _, url := range []string{
					fmt.Sprintf("ssh://%s@%s:%s/x", w.ssh.other.User, w.host, w.decoy.port), fmt.Sprintf("ssh://%s@%s:%d/x", w.ssh.other.User, w.host, w.ssh.other.Port),
					fmt.Sprintf("ssh://%s@%s:%d%s", w.ssh.other.User, w.host, w.ssh.other.Port, filepath.Join(w.git.Dir, "x.git")),
				} {
					run := w.await(t, w.ofTree(t, w.sshKey(t), w.withSubmodule(t, "[submodule \"sub\"]\n\tpath = sub\n\turl = "+url+"\n"), nil))
					require.Equal(t, "error", run.Outcome, run.Reason)
					require.NotContains(t, run.console, "BREACH")
				}
				require.Zero(t, w.decoy.hits(), "the checkout asked a service of the machine")
			},
		},
	}
}

// agentSocket is where scripts find their agent.
const agentSocket = "/run/ci/ssh-agent"

// login is a line of a script that runs a command at a server by its port's variable.
func login(port, command string) string {
	return fmt.Sprintf("ssh -p $%s $LOGIN@$HOST %s\n", port, command)
}

// sshKey makes a key pair that both servers let in and one is pinned for, and returns its name.
func (w *world) sshKey(t *testing.T) string {
	t.Helper()
	name := "key-" + strings.ToLower(rig.Random())
	var key struct{ PublicKey string }
	require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/ssh-keys/"+name, spec{"hosts": []ci.HostKey{w.ssh.pinned.Host(t, w.host)}}, &key))
	require.NotEmpty(t, key.PublicKey)
	w.ssh.pinned.Authorize(t, key.PublicKey)
	w.ssh.other.Authorize(t, key.PublicKey)
	return name
}

// sshURL is a repository's address at the pinned server.
func (w *world) sshURL(repo string) string {
	return fmt.Sprintf("ssh://%s@%s:%d%s", w.ssh.pinned.User, w.host, w.ssh.pinned.Port, filepath.Join(w.git.Dir, repo+".git"))
}

// withSSH triggers a run whose repository is reached by a key. Its script
// finds the servers in HOST, PORT, OTHER and LOGIN, and the key's name in OWN.
func (w *world) withSSH(t *testing.T, key string, s spec, parameters map[string]string) rig.Run {
	t.Helper()
	s["environment"] = spec{"image": w.image}
	return w.ofTree(t, key, tree(t, map[string]string{"job.yaml": file(t, s)}), parameters)
}

// ofTree is withSSH for a repository of one's own.
func (w *world) ofTree(t *testing.T, key, dir string, parameters map[string]string) rig.Run {
	t.Helper()
	all := map[string]string{
		"HOST": w.host, "PORT": strconv.Itoa(w.ssh.pinned.Port), "OTHER": strconv.Itoa(w.ssh.other.Port), "LOGIN": w.ssh.pinned.User, "OWN": key,
	}
	for name, value := range parameters {
		all[name] = value
	}
	repo := "s" + rig.Random()
	require.NoError(t, w.git.Init(repo))
	_, err := w.git.Commit(repo, "main", dir)
	require.NoError(t, err)
	name := w.put(t, "git", spec{"url": w.sshURL(repo), "configPath": "job.yaml", "sshKey": key}, all)
	var run rig.Run
	require.NoError(t, w.client.Call(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", spec{"branchName": "main", "parameters": all}, &run))
	return run
}

// loggingIn is a run that logs in again and again, and a count of how often it has.
func (w *world) loggingIn(t *testing.T) (run rig.Run, count func() int) {
	t.Helper()
	run = w.withSSH(t, w.sshKey(t), spec{"ssh": true, "script": "while " + strings.TrimSpace(login("PORT", "echo in once more")) + "; do sleep 1; done; echo it failed"}, nil)
	w.until(t, run, "in once more\n")
	return run, func() int {
		console := w.console(t, run)
		require.NotContains(t, console, "it failed")
		return strings.Count(console, "in once more\n")
	}
}

func (w *world) abort(t *testing.T, run rig.Run) {
	t.Helper()
	_, err := w.client.Do(t.Context(), http.MethodPost, path(run)+"/abort", nil)
	require.NoError(t, err)
}
