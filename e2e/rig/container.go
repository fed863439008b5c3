package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Container is one that no agent made: somebody else's on the same engine.
type Container struct {
	ID string
	IP string // on the engine's own bridge

	docker *Docker
}

// Run starts a container on the engine's own bridge.
func (d *Docker) Run(ctx context.Context, image string, command ...string) (*Container, error) {
	body, err := json.Marshal(map[string]any{"Image": image, "Entrypoint": command, "HostConfig": map[string]any{"NetworkMode": "bridge"}})
	if err != nil {
		return nil, err
	}
	b, err := d.call(ctx, http.MethodPost, "/containers/create", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	c := &Container{docker: d}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, err
	}
	if _, err := d.call(ctx, http.MethodPost, "/containers/"+c.ID+"/start", nil); err != nil {
		return c, err
	}
	var seen struct{ NetworkSettings struct{ IPAddress string } }
	if err := d.Inspect(ctx, "containers/"+c.ID, &seen); err != nil {
		return c, err
	}
	c.IP = seen.NetworkSettings.IPAddress
	return c, nil
}

// Remove ends and removes it.
func (c *Container) Remove() error {
	return c.docker.Remove(context.Background(), []string{"containers/" + c.ID})
}

// Inspect decodes what the engine says about an object that Objects listed.
func (d *Docker) Inspect(ctx context.Context, object string, out any) error {
	path := "/" + object
	if strings.HasPrefix(object, "containers/") {
		path += "/json"
	}
	b, err := d.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}
