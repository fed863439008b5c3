package podcost

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// Cluster is an API server of Kubernetes, as far as it is needed here: one call.
type Cluster struct {
	base  string // https://host:port
	pods  string // the namespace
	token string // a file; its content changes every hour or so
	http  *http.Client
}

// mounted is where Kubernetes puts the token and the certificate of a pod's service account.
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount"

// InCluster is the API server of the cluster that this process is a pod of.
// namespace is where the agents' pods are.
func InCluster(namespace string) (*Cluster, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, ci.Errorf(ci.CodeInvalid, "--pod-costs is for pods of Kubernetes, and this process is none: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	return Open("https://"+net.JoinHostPort(host, port), namespace, mounted)
}

// Open is the API server at base. dir has files token and ca.crt.
func Open(base, namespace, dir string) (*Cluster, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "--pod-costs needs the pod's service account, whose token is not mounted: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, ci.Errorf(ci.CodeInvalid, "%s/ca.crt has no certificate", dir)
	}
	return &Cluster{
		base: base, pods: namespace, token: filepath.Join(dir, "token"),
		http: &http.Client{Timeout: callLimit, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}},
	}, nil
}

// annotate writes a pod's deletion cost. found is false when there is no such pod.
func (c *Cluster) annotate(ctx context.Context, pod string, cost int) (found bool, err error) {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: strconv.Itoa(cost)}}})
	if err != nil {
		return false, err
	}
	token, err := os.ReadFile(c.token)
	if err != nil {
		return false, fmt.Errorf("the service account's token can't be read: %w", err)
	}
	at := c.base + "/api/v1/namespaces/" + url.PathEscape(c.pods) + "/pods/" + url.PathEscape(pod)
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, at, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/merge-patch+json")
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r, err := c.http.Do(req)
	if err != nil {
		return false, fmt.Errorf("the API server of Kubernetes: %w", err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	switch {
	case r.StatusCode == http.StatusNotFound:
		return false, nil
	case r.StatusCode == http.StatusForbidden:
		return false, fmt.Errorf("the API server of Kubernetes does not let cid's service account patch pods in the namespace %s: %s", c.pods, why(answer))
	case r.StatusCode != http.StatusOK:
		return false, fmt.Errorf("the API server of Kubernetes answers %s when the pod %s is patched: %s", r.Status, pod, why(answer))
	}
	return true, err
}

// why is the message of a Status of Kubernetes.
func why(answer []byte) string {
	var status struct{ Message string }
	if json.Unmarshal(answer, &status) != nil || status.Message == "" {
		return "without a reason"
	}
	return status.Message
}
