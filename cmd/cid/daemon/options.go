package daemon

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"ci/backend/trace"
	"ci/cmd/ci-agent/machine"
	"ci/cmd/setting"
)

// options are cid's settings.
type options struct {
	data      string
	listen    string
	database  string
	queue     string
	blobs     string
	pipelines string
	url       string
	traces    string
	gitAllow  []string
	agent     string
	lease     time.Duration
	podCosts  string
	reconcile time.Duration
	tlsCert   string
	tlsKey    string
	plainHTTP bool
	tokenKey  string
	secrets   machine.Secrets
	signIn    signIn
	logLevel  string
	logFormat string
	config    string
	machine   machine.Options
}

func (o *options) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.data, "data", stateDir(), "folder for everything that has no URL of its own; made if missing")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "HOST:PORT to serve the API on")
	fs.StringVar(&o.database, "database", "", "database: sqlite:PATH or postgres://… (default: SQLite in the data folder)")
	fs.StringVar(&o.queue, "queue", "", "message queue: nats://HOST:PORT, or amqp://USER:PASSWORD@HOST:PORT/VHOST (default: embedded NATS, in the data folder)")
	fs.StringVar(&o.blobs, "blobs", "", "objects: file:DIR or s3://BUCKET/PREFIX?endpoint=HOST:PORT (default: files in the data folder)")
	fs.StringVar(&o.pipelines, "pipelines-database", "", "database of pipelines: sqlite:PATH or postgres://… (default: --database where that is Postgres, else pipelines.db in the data folder)")
	fs.StringVar(&o.url, "url", "", "where people reach this API, for links and CI_RUN_URL (default: from --listen)")
	fs.StringSliceVar(&o.gitAllow, "git-allow", nil, "HOST[:PORT] that may be reached over http:// or git://, or at a private address; may be repeated")
	fs.StringVar(&o.agent, "agent", "auto", "auto carries runs out in this process, as soon as Docker answers; off leaves them to ci-agent machines")
	fs.DurationVar(&o.lease, "lease", time.Minute, "an agent that is silent for so long has lost its runs")
	fs.DurationVar(&o.reconcile, "reconcile", 5*time.Minute, "how often GitHub is asked for webhooks that never came")
	fs.StringVar(&o.podCosts, "pod-costs", "", "namespace of agents that are pods of Kubernetes, named by their ids: keep their deletion costs by the runs that they hold (default: none)")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "certificate chain (PEM) to serve HTTPS with; needs --tls-key")
	fs.StringVar(&o.tlsKey, "tls-key", "", "private key (PEM) of --tls-cert")
	fs.BoolVar(&o.plainHTTP, "plain-http", false, "serve HTTP without TLS on an address that is not loopback, for example behind a load balancer")
	fs.StringVar(&o.tokenKey, "token-key", "", "file with the Ed25519 key that signs tokens, the same for all cids (default: token.key in the data folder, made if missing)")
	o.secrets.Flags(fs, "secret.key in the data folder, made if missing")
	fs.StringVar(&o.traces, "traces", "", machine.TracesHelp)
	o.signIn.flags(fs)
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&o.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&o.config, setting.FileFlag, "", "YAML file with settings, each under its flag's name")
	o.machine.Flags(fs, "agent-", 1)
}

// stateDir is the user's folder for state, as the XDG base directory
// specification says.
func stateDir() string {
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "ci")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "ci-data"
	}
	return filepath.Join(home, ".local", "state", "ci")
}

// check refuses what can't work, with words that say what would.
func (o *options) check() error {
	switch {
	case o.agent != "auto" && o.agent != "off":
		return fmt.Errorf("--agent %q is neither auto nor off", o.agent)
	case o.reconcile < time.Second:
		return fmt.Errorf("--reconcile %s is too short; at least 1s", o.reconcile)
	case o.lease < 3*time.Second:
		return fmt.Errorf("--lease %s is too short; at least 3s", o.lease)
	}
	if err := trace.CheckEndpoint(o.traces); err != nil {
		return fmt.Errorf("--traces: %w", err)
	}
	if _, err := o.signIn.config(); err != nil {
		return err
	}
	return o.checkListen()
}

// checkListen checks the settings of every program here that serves.
func (o *options) checkListen() error {
	host, _, err := net.SplitHostPort(o.listen)
	switch {
	case err != nil:
		return fmt.Errorf("--listen %q is not HOST:PORT: %w", o.listen, err)
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return fmt.Errorf("--tls-cert and --tls-key go together")
	case o.tlsCert == "" && !o.plainHTTP && !loopback(host):
		return fmt.Errorf("--listen %s is not loopback and there is no --tls-cert: tokens would cross the network in clear text. "+
			"Give a certificate, or --plain-http if something in front of cid speaks TLS", o.listen)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// publicURL is --url, or what --listen amounts to.
func (o *options) publicURL(addr net.Addr) string {
	if o.url != "" {
		return o.url
	}
	if o.tlsCert != "" {
		return "https://" + addr.String()
	}
	return "http://" + addr.String()
}
