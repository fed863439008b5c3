// Package buildcontext reads the contexts of builds out of a checkout, in a
// container of its own: what a Dockerfile may copy, and nothing beyond the
// checkout, whatever the links in it say.
package buildcontext

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"

	"ci/agentd/toolbox/disk"
	"ci/agentd/toolbox/pipe"
)

// Main serves the streams that the agent opens, one build each, until its
// connection ends.
func Main() int {
	server, err := pipe.Server(stdio{})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		return 1
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer server.Close()
	for {
		stream, err := server.Accept()
		if err != nil {
			return 0
		}
		work.Go(func() {
			defer stream.Close()
			if err := serve(stream); err != nil {
				fmt.Fprintf(os.Stderr, "%v\n", err)
			}
		})
	}
}

// serve answers for one build.
func serve(stream net.Conn) error {
	var order pipe.BuildContext
	if err := pipe.ReadFrame(stream, &order, pipe.MaxUp); err != nil {
		return err
	}
	if order.Watch != nil {
		return disk.ServeFree(stream, *order.Watch)
	}
	files, err := read(order)
	if err != nil {
		return pipe.WriteFrame(stream, pipe.BuildFiles{Failed: err.Error()}, pipe.MaxBuildFiles)
	}
	defer files.Close()
	if err := pipe.WriteFrame(stream, files.answer, pipe.MaxBuildFiles); err != nil {
		return err
	}
	return files.offer(stream)
}

// offer lets the builder at the other end of conn fetch files until it hangs up.
func (f *files) offer(conn net.Conn) error {
	s, err := session.NewSession(context.Background(), "") // ends with conn
	if err != nil {
		return err
	}
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{
		pipe.ContextDir: f.context, pipe.DockerfileDir: f.dockerfile,
	}))
	return s.Run(context.Background(), func(context.Context, string, map[string][]string) (net.Conn, error) {
		return conn, nil
	})
}

// stdio is the attached connection.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return os.Stdin.Close() }

var _ io.ReadWriteCloser = stdio{}
