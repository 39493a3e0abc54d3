package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one that lasts as long as the run, in a directory of its own.
type server struct {
	dir        string
	kubeconfig string
	cmd        *exec.Cmd
	ended      chan error
}

// start runs a server and waits until it has written how to reach it.
func start(ctx context.Context, binary string) (*server, error) {
	dir, err := os.MkdirTemp("", "charts-server")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, kubeconfig: filepath.Join(dir, "admin.kubeconfig"), ended: make(chan error, 1)}
	if err := s.run(binary); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start a server: %w", err)
	}
	for range 600 {
		if _, err := os.Stat(s.kubeconfig); err == nil {
			return s, nil
		}
		select {
		case err := <-s.ended:
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			os.RemoveAll(dir)
			return nil, fmt.Errorf("the server ended: %w\n%s", err, log)
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.stop()
	return nil, errors.New("the server has written no kubeconfig for a minute")
}

func (s *server) run(binary string) error {
	api, err := freeAddress()
	if err != nil {
		return err
	}
	images, err := freeAddress()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(binary, "server", "--data-dir", s.dir, "--listen", api, "--registry-listen", images)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return nil
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends the server, by force if it does not in order, and removes its directory.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	os.RemoveAll(s.dir)
}

// memory is what is resident of the server.
func (s *server) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the system does not tell how much is resident")
}
