package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ci/cmd/setting"
)

// healthLimit bounds one question to a cid on this machine.
const healthLimit = 5 * time.Second

// newHealthcheck is for supervisors that start a program rather than ask by
// HTTP: its image has no curl.
func newHealthcheck() *cobra.Command {
	var o options
	var ready bool
	loader := setting.Loader{Prefix: "CID", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the cid of this machine whether it serves; exit status 0 says that it does",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loader.Load(cmd.Flags()); err != nil {
				return err
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			ctx := cmd.Context()
			if ctx == nil {
				ctx = context.Background() // cobra has none when it was started without
			}
			return o.healthy(ctx, path)
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "cid's --listen")
	cmd.Flags().StringVar(&o.tlsCert, "tls-cert", "", "cid's --tls-cert")
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether database, queue and object store answer, too")
	return cmd
}

// healthy asks for a path until an answer is 200.
func (o *options) healthy(ctx context.Context, path string) error {
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT: %w", o.listen, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	scheme := "http"
	if o.tlsCert != "" {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	// The certificate is for the name that people use, and nothing secret is sent.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cid does not answer: %w", err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(r.Body, 4<<10))
		return fmt.Errorf("%s answers %s: %s", path, r.Status, why)
	}
	return nil
}
