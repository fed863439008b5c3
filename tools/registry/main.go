// Command registry is a real image registry for tests: distribution's own, in
// memory, with an account where the environment names one. It prints the
// address that it listens on and serves until its standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	config := &configuration.Configuration{
		Storage: configuration.Storage{"inmemory": nil, "delete": configuration.Parameters{"enabled": true}},
	}
	config.HTTP.Secret = "of one process"
	config.Log.Level, config.Log.AccessLog.Disabled = "error", true
	if user, password := os.Getenv("REGISTRY_USER"), os.Getenv("REGISTRY_PASSWORD"); user != "" {
		path, err := account(user, password)
		if err != nil {
			return err
		}
		defer os.RemoveAll(filepath.Dir(path))
		config.Auth = configuration.Auth{"htpasswd": {"realm": "tests", "path": path}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handlers.NewApp(context.Background(), config), ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println(l.Addr())
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// account writes a password file.
func account(user, password string) (string, error) {
	dir, err := os.MkdirTemp("", "registry")
	if err != nil {
		return "", err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "htpasswd")
	return path, os.WriteFile(path, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600)
}
