// Command gateway-server-notify turns NOTIFYs of PostgreSQL channels into events.
//
// It implements only generic.Eventing, the contract of one method: a configuration comes in, payloads go out. Where the
// database is, and who we are there, say PostgreSQL's own environment variables (PGHOST, PGUSER, PGPASSWORD, …).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"example.com/gateway-server-notify/generic"
)

//go:generate sh -c "protoc -I ../../../proto/argo/generic --go_out=generic --go_opt=paths=source_relative,Mgeneric.proto=example.com/gateway-server-notify/generic --go-grpc_out=generic --go-grpc_opt=paths=source_relative,Mgeneric.proto=example.com/gateway-server-notify/generic --plugin=$(go tool -n protoc-gen-go) --plugin=$(go tool -n protoc-gen-go-grpc) generic.proto"

// config is what stands in the ConfigMap.
type config struct {
	Database string   `yaml:"database"`
	Channels []string `yaml:"channels"`
}

func parse(text []byte) (config, error) {
	var c config
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	if len(c.Channels) == 0 {
		return c, errors.New("channels: missing; name at least one channel to LISTEN on")
	}
	return c, nil
}

type server struct {
	generic.UnimplementedEventingServer
}

// StartEventSource listens until the gateway-client ends the call. An error ends the stream with its words; the client shows
// them, and calls again with back-off: there is nothing to retry here.
func (server) StartEventSource(source *generic.EventSource, stream grpc.ServerStreamingServer[generic.Event]) error {
	c, err := parse(source.Config)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := listen(stream.Context(), c, func(payload string) error {
		return stream.Send(&generic.Event{Name: source.Name, Payload: []byte(payload)})
	}); stream.Context().Err() == nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}

func listen(ctx context.Context, c config, send func(payload string) error) error {
	settings, err := pgx.ParseConfig("")
	if err != nil {
		return err
	}
	if c.Database != "" {
		settings.Database = c.Database
	}
	connection, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return err
	}
	defer connection.Close(context.WithoutCancel(ctx))
	for _, channel := range c.Channels {
		if _, err := connection.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return fmt.Errorf("LISTEN %s: %w", channel, err)
		}
	}
	slog.Info("listening to PostgreSQL", "database", connection.Config().Database, "channels", c.Channels)
	for {
		notification, err := connection.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if err := send(notification.Payload); err != nil {
			return err
		}
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:9360", "where to serve gRPC")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		slog.Error("cannot listen", "error", err)
		os.Exit(1)
	}
	grpcServer := grpc.NewServer()
	generic.RegisterEventingServer(grpcServer, server{})
	grpc_health_v1.RegisterHealthServer(grpcServer, health.NewServer())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		grpcServer.Stop()
	}()
	slog.Info("listening", "address", *address)
	if err := grpcServer.Serve(listener); err != nil {
		slog.Error("cannot serve", "error", err)
		os.Exit(1)
	}
}
