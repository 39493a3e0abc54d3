package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// controlPlaneClient is the parent's end of a control plane.
type controlPlaneClient struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	dir string
}

// startControlPlane starts a control plane of this program and waits until it is up.
func (b *bench) startControlPlane(ctx context.Context, name string) (*controlPlaneClient, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &controlPlaneClient{dir: filepath.Join(b.dir, name)}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.profiles, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, self, controlPlaneArg, "-dir", p.dir)
	p.cmd.Stderr = log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := p.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("the control plane did not start, see %s: %w", log.Name(), err), p.close())
	}
	return p, nil
}

func (p *controlPlaneClient) read() (answer, error) {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// order has the control plane do something and waits until it is done.
func (p *controlPlaneClient) order(o order) (answer, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return answer{}, err
	}
	a, err := p.read()
	if err != nil {
		return a, fmt.Errorf("%s: %w", o.Do, err)
	}
	return a, nil
}

func (p *controlPlaneClient) close() error {
	p.in.Close()
	return stop(p.cmd)
}

// measured runs f and returns how long it took and the server's CPU time.
func (p *controlPlaneClient) measured(f func() error) (wall, cpu time.Duration, err error) {
	before, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := f(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(begin)
	after, err := cpuTime(p.cmd.Process.Pid)
	return wall, after - before, err
}

// client is a client with a connection of its own.
type client struct {
	http *http.Client
	base string
}

func (p *controlPlaneClient) client() (*client, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig(p.dir))
	if err != nil {
		return nil, err
	}
	t, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, err
	}
	t.NextProtos = []string{"h2", "http/1.1"}
	return &client{base: cfg.Host, http: &http.Client{Transport: &http.Transport{TLSClientConfig: t, ForceAttemptHTTP2: true, DisableCompression: true,
		ReadBufferSize: 64 << 10}}}, nil
}

// do sends one request. The caller closes the body.
func (c *client) do(ctx context.Context, method, path, contentType, accept string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", accept)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 500))
		res.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	return res, nil
}

// fetch sends one request and returns how much was answered.
func (c *client) fetch(ctx context.Context, method, path, contentType, accept string, body io.Reader) (int64, error) {
	res, err := c.do(ctx, method, path, contentType, accept, body)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 256<<10))
}

// saveMetrics keeps what the server says of itself, calls and time of each
// plugin among it.
func (p *controlPlaneClient) saveMetrics(ctx context.Context, file string) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	var all []byte
	for _, path := range []string{"/metrics", "/apis/pintle.dev/v1alpha1/plugins"} {
		res, err := c.do(ctx, "GET", path, "", "*/*", nil)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return os.WriteFile(file, all, 0o644)
}
