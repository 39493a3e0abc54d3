// Command demo is a small web server to try a cluster with. It says who it
// is, can be told to fail, to be slow, to keep a processor busy or to exit, and
// finishes the requests under way when it is asked to end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version can be set at build time (-ldflags "-X main.version=v2") or by the
// VERSION variable.
var version = "v1"

func main() {
	addr := flag.String("listen", ":8080", "address to serve on")
	late := flag.Duration("late", 0, "time before it listens, as of a program that is slow to start")
	grace := flag.Duration("grace", 20*time.Second, "time for requests under way to finish")
	getURL := flag.String("get", "", "print the answer of this URL and end")
	postURL := flag.String("post", "", "the same with a POST")
	loadURL := flag.String("load", "", "request this URL without pause and print a report")
	until := flag.String("until", "", "end the load when this file exists")
	showVersion := flag.Bool("version", false, "print the version and end")
	env := flag.String("env", "", "print this variable and end")
	flag.Parse()
	if v := os.Getenv("VERSION"); v != "" {
		version = v
	}
	if err := asClient(*getURL, *postURL, *loadURL, *until); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	switch {
	case *getURL != "" || *postURL != "" || *loadURL != "":
		return
	case *showVersion:
		fmt.Println(version)
		return
	case *env != "":
		fmt.Println(os.Getenv(*env))
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	select {
	case <-time.After(*late):
	case <-ctx.Done():
		return
	}
	if err := run(ctx, newServer(log), *addr, *grace); err != nil {
		log.Error("demo", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s *server, addr string, grace time.Duration) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log := s.log
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	log.Info("serving", "address", ln.Addr().String(), "version", version, "pod", podName())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("ending: finishing requests under way")
	s.ending.Store(true)
	wait, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil {
		return fmt.Errorf("requests cut off: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Info("ended", "requests", s.served.Load())
	return nil
}

// podName is what the downward API says, else the host name.
func podName() string {
	if n := os.Getenv("POD_NAME"); n != "" {
		return n
	}
	n, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return n
}
