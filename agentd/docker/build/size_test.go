package build

import (
	"context"
	"fmt"
	"strings"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func planOf(t *testing.T, text string, env ...string) error {
	t.Helper()
	_, err := NewPlan(t.Context(), Dockerfile{Path: "Dockerfile", Text: []byte(text), OS: "linux", Arch: "amd64", Args: map[string]string{"V": "1"}},
		func(context.Context, string) (Base, error) {
			b := Base{ID: "sha256:0"}
			b.Config = dockerspec.DockerOCIImageConfig{}
			b.Config.Env = env
			return b, nil
		})
	return err
}

// Variables that grow, and steps that carry them, are refused before they are made.
func TestDockerfilesThatGrow(t *testing.T) {
	t.Parallel()
	lines := func(n int, f func(i int) string) string {
		var b strings.Builder
		b.WriteString("FROM scratch\nARG V\nENV A0=xxxxxxxxxx\n")
		for i := range n {
			b.WriteString(f(i) + "\n")
		}
		return b.String()
	}
	long := strings.Repeat("x", 60000)
	for name, text := range map[string]string{
		"doubling":        lines(40, func(i int) string { return fmt.Sprintf("ENV A%d=$A%d$A%d$A%d", i+1, i, i, i) }),
		"in braces":       lines(40, func(i int) string { return fmt.Sprintf("ENV A%d=${A%d}${A%d:-${A0}}", i+1, i, i) }),
		"itself":          lines(40, func(int) string { return "ENV A0=$A0$A0" }),
		"arguments":       lines(40, func(int) string { return "ARG V=$V$V$V" }),
		"quoted, old way": lines(40, func(int) string { return `env A0 "$A0 $A0 $A0"` }),
		"replaced":        lines(40, func(int) string { return "ENV A0=${A0//x/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy}" }),
		"replaced by one": lines(40, func(int) string { return "ENV A0=${A0//x/$A0}" }),
		"labels":          lines(40, func(int) string { return "ENV B=" + long + "\nLABEL l=" + strings.Repeat("$B", 1000) }),
		"carried":         lines(490, func(i int) string { return fmt.Sprintf("ENV B%d=%0400d\nRUN a", i, i) }),
		"carried, few":    lines(400, func(int) string { return "RUN a" }) + "ENV A=" + long + "\nENV B=" + long + "\nENV C=" + long,
		"named by others": lines(40, func(int) string { return "ARG N=A0\nENV $N=$A0$A0$A0" }),
		"steps":           lines(1001, func(int) string { return "RUN a" }),
	} {
		err := planOf(t, text)
		require.ErrorContains(t, err, "Dockerfile can't be built: it", name)
	}
	require.ErrorContains(t, planOf(t, "FROM a\nRUN b\n", "A="+long), "environment")
}

// What people write is not refused.
func TestDockerfilesThatDoNotGrow(t *testing.T) {
	t.Parallel()
	require.NoError(t, planOf(t, `ARG GO=1.26
FROM golang:$GO AS base
ARG V=1.2.3
ARG MINOR=${V%.*} UNDER=${V//./_} DASH=${V//./-}
ARG BOTH=${UNDER//_/-}
ENV HOME=/root PATH="/opt/$V/bin:$PATH" TOOLS=${HOME}/tools/$UNDER
ENV PATH=$PATH:$TOOLS/bin LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$TOOLS/lib
`+strings.Repeat("ENV PATH=$PATH:/more\nRUN --mount=type=cache,target=/root/.cache make \"$X\" && for i in $(ls); do echo $i; done\n", 60)+`
FROM base AS end
LABEL version=$V commit="$COMMIT"
COPY --from=base $TOOLS $HOME/$V
COPY <<EOF /etc/x
hello $V
EOF
WORKDIR $HOME
`, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LD_LIBRARY_PATH=/lib"))
}
