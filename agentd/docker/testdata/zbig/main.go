package main

import (
	"os"

	"ci/agentd/toolbox"
	_ "buf.build/go/protovalidate"
	_ "connectrpc.com/connect"
	_ "github.com/docker/docker/client"
	_ "github.com/goccy/go-yaml"
	_ "github.com/itchyny/gojq"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/minio/minio-go/v7"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/pressly/goose/v3"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/spf13/cobra"
	_ "github.com/uptrace/bun"
	_ "modernc.org/sqlite"
)

func main() {
	code, ran := toolbox.Main(os.Args)
	if !ran { code = 2 }
	os.Exit(code)
}
