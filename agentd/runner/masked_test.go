package runner_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/agentd/mask"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// secret gives every run the secret PASSWORD with a value.
func secret(value string) func(*fake.Backend) {
	return func(b *fake.Backend) { b.Secrets = map[string]string{"PASSWORD": value} }
}

func TestMasked(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		value, script string
		results       []string
		console       string
		reason        string
	}{
		"printed":           {value: "hunter2", script: "print my hunter2!", console: "my ***!\n"},
		"in its variable":   {value: "hunter2", script: "env PASSWORD", console: "***\n"},
		"cut":               {value: "hunter2", script: "write hun; write ter; sleep 20s; print 2", console: "***\n"},
		"cut at its start":  {value: "hunter2", script: "write h; sleep 1s; print unter2", console: "h***\n"},
		"at the end":        {value: "hunter2", script: "print x; write hunt", console: "x\nhunt"},
		"base64":            {value: "hunter2", script: "print " + base64.StdEncoding.EncodeToString([]byte("hunter2")), console: "***\n"},
		"said":              {value: "hunter2", script: "say using hunter2 now", console: "ci: using *** now\n"},
		"while preparing":   {value: "hunter2", script: "prepare-fail login: hunter2 refused", reason: "The run could not be prepared: login: *** refused."},
		"result's name":     {value: "hunter2", script: "result hunter2 x", results: []string{"hunter2"}, console: "ci: result masked-1: stored 1B\n"},
		"missing result":    {value: "hunter2", script: "print x", results: []string{"hunter2"}, reason: "The script succeeded. Result *** is missing: ***.txt matches no file."},
		"too short":         {value: "abc", script: "print abc", console: "ci: not masked, since values under 4 bytes would mask too much else: PASSWORD\nabc\n"},
		"many lines":        {value: "line one\nline two\n", script: "print line two\nprint line one", console: "***\n***\n"},
		"lost at the wrong": {value: "hunter2", script: "write hunt; lose", console: "hunt\nci: The run's container was lost: its first process ended without a word.\n"},
		"a panic":           {value: "hunter2", script: "write hunt; panic", console: "hunt\nci: The agent failed while it carried out the run (the script says so). This is a fault of the agent, its log has more; trigger the run again.\n"},
		"in a service's log": {
			value: "hunter2", script: "log db I am hunter2; log db and hunte; print x",
			console: "x\nci: result services: stored ",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				row := play(t, c.script, secret(c.value), c.results...).wait()
				if c.console != "" {
					require.True(t, strings.HasPrefix(string(row.Console), c.console), "%q", row.Console)
				}
				if c.reason != "" {
					require.Equal(t, c.reason, row.Run.Reason)
				}
				sum := sha256.Sum256(row.Console)
				require.Equal(t, hex.EncodeToString(sum[:]), row.Run.Console.SHA256, "the seal is of what is stored")
				require.Equal(t, int64(len(row.Console)), row.Run.Console.Bytes)
				if c.value != "abc" {
					require.NotContains(t, fmt.Sprintf("%+v %+v", row.Run, row.Results), c.value)
				}
				if files := unzipped(t, row); files != nil {
					require.Equal(t, "I am ***\nand hunte\n", files["db.log"])
				}
			})
		})
	}
}

// A prompt appears soon although its end may begin a secret.
func TestMaskedPrompt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := play(t, "write name: h; sleep 20s; print x", secret("hunter2"))
		after(10 * time.Second)
		require.Equal(t, "name: h", string(b.backend.Get(b.id).Console))
		b.wait()
	})
}

// What the agent logs about a run in hand is masked, whoever logs it.
func TestMaskedLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		veil := mask.NewVeil(slog.NewTextHandler(&out, nil))
		backend := fake.NewBackend()
		secret("hunter2")(backend)
		id := backend.Trigger("small", "prepare-fail no hunter2 here")
		claim := ci.Claim{Run: id, Agent: "a1", ID: "c"}
		work, err := backend.Claim(t.Context(), claim)
		require.NoError(t, err)
		runner.New(runner.Config{Uplink: backend, Driver: fake.NewDriver(), Dir: t.TempDir(), Log: slog.New(veil), Veil: veil}, *work, claim).Run(t.Context())
		require.Contains(t, out.String(), "no *** here")
		require.NotContains(t, out.String(), "hunter2")
	})
}

// What registries, the API and the repository are opened with is masked, too.
func TestMaskedCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := fake.NewBackend()
		id := backend.Trigger("small", "print swordfish and aaa.bbb.ccc and ghs_1")
		claim := ci.Claim{Run: id, Agent: "a1", ID: "c"}
		work, err := backend.Claim(t.Context(), claim)
		require.NoError(t, err)
		work.Token, work.Registries = "aaa.bbb.ccc", []ci.RegistryAccess{{Host: "docker.io", Username: "u", Password: "swordfish"}}
		work.HTTP = &ci.HTTPAccess{Username: "x-access-token", Password: "ghs_1"}
		runner.New(runner.Config{Uplink: backend, Driver: fake.NewDriver(), Dir: t.TempDir()}, *work, claim).Run(t.Context())
		require.Equal(t, "*** and *** and ***\n", string(backend.Get(id).Console))
	})
}
