package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// limit bounds each wait, on a machine that is busy.
const limit = 2 * time.Minute

// server is the Kubernetes of all tests, each of which has namespaces of its own.
var server *cluster

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// Paths of the chart's values are told from there.
		if err := os.Chdir(".."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		var err error
		if server, err = start(); err != nil {
			fmt.Fprintln(os.Stderr, "no Kubernetes:", err)
			return 1
		}
		defer server.stop()
		return m.Run()
	}())
}

// cluster is a running Kubernetes, and clients who may do everything.
type cluster struct {
	*kubernetes.Clientset
	dynamic dynamic.Interface
	config  *rest.Config
	dir     string
	host    string
	running []*process
}

const port = "6443"

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// start starts etcd, the API server and the controllers that the chart's objects
// need. They listen on an address of the loopback network that is chosen by
// chance, at their usual ports.
func start() (c *cluster, err error) {
	programs := os.Getenv("CI_KUBERNETES")
	if programs == "" {
		return nil, errors.New("CI_KUBERNETES is not set; run: make test-kubernetes")
	}
	c = &cluster{host: fmt.Sprintf("127.%d.%d.%d", 1+mathrand.IntN(254), mathrand.IntN(256), 1+mathrand.IntN(254))}
	if c.dir, err = os.MkdirTemp("", "kubernetes"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if err := c.secrets(); err != nil {
		return nil, err
	}
	database, peers := "http://"+c.host+":2379", "http://"+c.host+":2380"
	if err := c.launch("etcd", "--data-dir="+c.file("etcd"), "--name=one", "--initial-cluster=one="+peers,
		"--listen-client-urls="+database, "--advertise-client-urls="+database,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers); err != nil {
		return nil, err
	}
	if err := c.launch(filepath.Join(programs, "kube-apiserver"), "--etcd-servers="+database,
		"--bind-address="+c.host, "--advertise-address="+c.host, "--secure-port="+port, "--endpoint-reconciler-type=none",
		"--tls-cert-file="+c.file("ca.crt"), "--tls-private-key-file="+c.file("tls.key"),
		"--token-auth-file="+c.file("tokens"), "--authorization-mode=RBAC", "--allow-privileged", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.file("accounts.key"),
		"--service-account-signing-key-file="+c.file("accounts.key")); err != nil {
		return nil, err
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c, c.launch(filepath.Join(programs, "kube-controller-manager"), "--kubeconfig="+c.file("controllers"),
		"--leader-elect=false", "--bind-address="+c.host, "--use-service-account-credentials",
		"--controllers=deployment-controller,replicaset-controller,statefulset-controller,disruption-controller,garbage-collector-controller,"+
			"namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller",
		"--service-account-private-key-file="+c.file("accounts.key"), "--root-ca-file="+c.file("ca.crt"))
}

// secrets makes certificates, keys, and two tokens: of an admin, and of the
// controllers, who have their usual rights.
func (c *cluster) secrets() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey(c.host, nil, nil)
	if err != nil {
		return err
	}
	accounts, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	admin, controllers := rand.Text(), rand.Text()
	for name, text := range map[string][]byte{
		"ca.crt": certificate, "tls.key": key, "accounts.key": accounts,
		"tokens": fmt.Appendf(nil, "%s,admin,1,system:masters\n%s,system:kube-controller-manager,2\n", admin, controllers),
	} {
		if err := os.WriteFile(c.file(name), text, 0o600); err != nil {
			return err
		}
	}
	c.config = &rest.Config{
		Host: "https://" + net.JoinHostPort(c.host, port), BearerToken: admin, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.file("ca.crt")},
	}
	if c.Clientset, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		return err
	}
	return clientcmd.WriteToFile(api.Config{
		Clusters:       map[string]*api.Cluster{"it": {Server: c.config.Host, CertificateAuthority: c.file("ca.crt")}},
		AuthInfos:      map[string]*api.AuthInfo{"controllers": {Token: controllers}},
		Contexts:       map[string]*api.Context{"it": {Cluster: "it", AuthInfo: "controllers"}},
		CurrentContext: "it",
	}, c.file("controllers"))
}

// ready waits until the API server is: with its first roles, too.
func (c *cluster) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		_, err := c.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return nil
		}
		for _, p := range c.running {
			select {
			case <-p.ended:
				return fmt.Errorf("%s has ended: %s", p.name, p.said())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w; it says: %s", err, c.running[len(c.running)-1].said())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// process is a program that runs until it is ended.
type process struct {
	*exec.Cmd
	name  string
	log   string
	ended chan struct{}
}

// launch starts a program that is ended with the cluster.
func (c *cluster) launch(program string, args ...string) error {
	p, err := launch(c.dir, exec.Command(program, args...))
	if err == nil {
		c.running = append(c.running, p)
	}
	return err
}

// launch starts a program that writes to a file in a folder. It ends with us,
// however we do.
func launch(dir string, cmd *exec.Cmd) (*process, error) {
	p := &process{Cmd: cmd, name: filepath.Base(cmd.Path), ended: make(chan struct{})}
	log, err := os.CreateTemp(dir, p.name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.log, p.Stdout, p.Stderr = log.Name(), log, log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.Wait() // how it ended is in its log
		close(p.ended)
	}()
	return p, nil
}

// said is the end of what it has written.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// end asks it to end, and waits for it.
func (p *process) end() error {
	_ = p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(limit):
		_ = p.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s had to be killed; it said: %s", p.name, p.said())
	}
}

// stop ends all programs, the last one first, and removes what they have written.
func (c *cluster) stop() {
	for i := len(c.running) - 1; i >= 0; i-- {
		_ = c.running[i].Process.Kill() // nothing of theirs is kept
		<-c.running[i].ended
	}
	_ = os.RemoveAll(c.dir)
}
