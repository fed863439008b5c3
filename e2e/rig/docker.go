package rig

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Docker looks at an engine by its HTTP API. Only what the tests need: lists
// by label, removal by id, and images made of a few files.
type Docker struct {
	base string
	http *http.Client
}

// OpenDocker finds the engine as the docker command does: $DOCKER_HOST, else the usual socket.
func OpenDocker() (*Docker, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	return DockerAt(context.Background(), host)
}

// DockerAt is the engine at host, unix:///path or tcp://host:port.
func DockerAt(ctx context.Context, host string) (*Docker, error) {
	network, addr, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("the Docker engine %q is neither unix:// nor tcp://", host)
	}
	d := &Docker{base: "http://docker", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}}
	_, err := d.call(ctx, http.MethodGet, "/_ping", nil)
	return d, err
}

func (d *Docker) call(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, body)
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost && !strings.HasPrefix(path, "/images/") {
		req.Header.Set("Content-Type", "application/json")
	}
	r, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode >= 300 && r.StatusCode != http.StatusNotFound {
		err = fmt.Errorf("docker: %s %s: %s: %s", method, path, r.Status, b)
	}
	return b, err
}

// Running counts the containers that run and have all of some labels.
func (d *Docker) Running(ctx context.Context, labels ...string) (int, error) {
	filter, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return 0, err
	}
	b, err := d.call(ctx, http.MethodGet, "/containers/json?filters="+url.QueryEscape(string(filter)), nil)
	if err != nil {
		return 0, err
	}
	var list []struct{}
	return len(list), json.Unmarshal(b, &list)
}

// Objects lists containers, volumes and networks that have all of some labels
// ("ci.agent=x", "ci.run"), each as "kind/id".
func (d *Docker) Objects(ctx context.Context, labels ...string) ([]string, error) {
	filter, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return nil, err
	}
	query := "filters=" + url.QueryEscape(string(filter))
	var containers, networks []struct {
		ID string `json:"Id"`
	}
	var volumes struct{ Volumes []struct{ Name string } }
	for path, out := range map[string]any{"/containers/json?all=1&": &containers, "/networks?": &networks, "/volumes?": &volumes} {
		b, err := d.call(ctx, http.MethodGet, path+query, nil)
		if err == nil {
			err = json.Unmarshal(b, out)
		}
		if err != nil {
			return nil, err
		}
	}
	var all []string
	for _, c := range containers {
		all = append(all, "containers/"+c.ID)
	}
	for _, v := range volumes.Volumes {
		all = append(all, "volumes/"+v.Name)
	}
	for _, n := range networks {
		all = append(all, "networks/"+n.ID)
	}
	return all, nil
}

// Remove removes objects that Objects listed: containers, which hold the rest, first.
func (d *Docker) Remove(ctx context.Context, objects []string) error {
	var errs []error
	for _, kind := range []string{"containers/", "volumes/", "networks/"} {
		for _, o := range slices.DeleteFunc(slices.Clone(objects), func(o string) bool { return !strings.HasPrefix(o, kind) }) {
			query := ""
			if kind == "containers/" {
				query = "?force=1&v=1"
			}
			_, err := d.call(ctx, http.MethodDelete, "/"+o+query, nil)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// withoutMiscounted leaves out the networks that nobody can remove: engines that
// are killed or very busy may count endpoints in a network whose list of them is
// empty (moby/moby#42119), until they are restarted. That is no agent's doing,
// so it is told on stderr. A network that could be removed is not meant.
func (d *Docker) withoutMiscounted(ctx context.Context, objects []string) (others []string, err error) {
	for _, o := range objects {
		id, isNetwork := strings.CutPrefix(o, "networks/")
		if !isNetwork {
			others = append(others, o)
			continue
		}
		var n struct {
			ID         string         `json:"Id"`
			Containers map[string]any `json:"Containers"`
		}
		b, err := d.call(ctx, http.MethodGet, "/networks/"+id, nil)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &n); err != nil {
			return nil, err
		}
		_, refusal := d.call(ctx, http.MethodDelete, "/networks/"+id, nil)
		if n.ID == id && len(n.Containers) == 0 && refusal != nil && strings.Contains(refusal.Error(), "active endpoints") {
			fmt.Fprintf(os.Stderr, "the engine miscounts the endpoints of network %s and keeps it\n", id)
			continue
		}
		others = append(others, o)
	}
	return others, nil
}

// Import makes an image whose whole content is a tar archive. changes are
// words of a Dockerfile, such as "USER 1000".
func (d *Docker) Import(ctx context.Context, name, tag string, archive io.Reader, changes ...string) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {name}, "tag": {tag}, "changes": changes}
	b, err := d.call(ctx, http.MethodPost, "/images/create?"+query.Encode(), archive)
	if err == nil && strings.Contains(string(b), `"error"`) {
		err = fmt.Errorf("docker: import: %s", b)
	}
	return err
}

// removeBuilt removes the images that an agent built from Dockerfiles; their
// tags begin with a sum of its name.
func (d *Docker) removeBuilt(ctx context.Context, agent string) error {
	sum := sha256.Sum256([]byte(agent))
	filter := fmt.Sprintf(`{"reference":["ci-build:%x-*"]}`, sum[:4])
	b, err := d.call(ctx, http.MethodGet, "/images/json?filters="+url.QueryEscape(filter), nil)
	var images []struct{ RepoTags []string }
	if err == nil {
		err = json.Unmarshal(b, &images)
	}
	for _, im := range images {
		for _, tag := range im.RepoTags {
			err = errors.Join(err, d.RemoveImage(ctx, tag))
		}
	}
	return err
}

// RemoveImage removes an image by its name.
func (d *Docker) RemoveImage(ctx context.Context, ref string) error {
	_, err := d.call(ctx, http.MethodDelete, "/images/"+ref, nil)
	return err
}
