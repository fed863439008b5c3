package docker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

func TestRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		order  runner.Order
		exit   runner.Exit
		output string
	}{
		{"toolbox image", order("echo hello"), runner.Exit{}, "hello\n"},
		{"busybox image", order("echo hello", inImage(busyBase)), runner.Exit{}, "hello\n"},
		{"empty image", order("for i in 1 2; do echo $i; done\nmkdir x && ls", inImage(bare)), runner.Exit{}, "1\n2\nx\n"},
		{"exit status", order("exit 7"), runner.Exit{Code: 7}, ""},
		{"stops at the first failure", order("false\necho never"), runner.Exit{Code: 1}, ""},
		{"ends by a signal", order("kill -TERM $$"), runner.Exit{Code: 143, Signal: "SIGTERM"}, ""},
		{"order of both streams", order("for i in 1 2 3; do echo out$i; echo err$i >&2; done"), runner.Exit{}, "out1\nerr1\nout2\nerr2\nout3\nerr3\n"},
		{"standard input is empty", order("cat; echo end"), runner.Exit{}, "end\n"},
		{"other interpreter", order("#!/usr/bin/awk -f\nBEGIN { print \"awk\" }"), runner.Exit{}, "awk\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exit, output, _ := play(t, test.order)
			require.Equal(t, test.output, output)
			require.Equal(t, test.exit, exit)
		})
	}
}
