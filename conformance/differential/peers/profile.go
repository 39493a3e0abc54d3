package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pintle-io/pintle/conformance/differential/servers"
)

// profiles begins to take CPU profiles of the API server's process (of Pintle,
// that is all of it), when -profile asks for it. What it answers waits for them.
func (r *runner) profiles(ctx context.Context, s *servers.Server) (wait func() error) {
	if r.profile == 0 {
		return func() error { return nil }
	}
	file := filepath.Join(r.dir, fmt.Sprintf("%s-%s-%d.pprof", r.scenario.Name, r.side.name, r.round))
	var g errgroup.Group
	g.Go(func() error { return fetchProfile(ctx, s, r.profile, file) })
	return func() error {
		r.say("waiting for the profile %s", file)
		return g.Wait()
	}
}

func fetchProfile(ctx context.Context, s *servers.Server, length time.Duration, file string) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.URL, max(1, int(length.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+servers.Admin)
	resp, err := s.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, resp.Body); err != nil {
		return err
	}
	return f.Close()
}
