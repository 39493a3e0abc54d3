package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
)

// StartPintle starts the server of the executable at path, with its data in
// dir, and returns when it serves and only the API acts on objects. The caller
// closes the server.
//
// It starts twice: at first to tell which plugins do more than admit.
func StartPintle(ctx context.Context, path, dir string) (*Server, error) {
	// The same sources as in WASM, and a start that takes seconds.
	args := []string{"--plugin-host", "native", "--unsafe-no-fsync"}
	s := &Server{Name: "pintle"}
	if err := s.startPintle(ctx, path, dir, "pintle-first", args...); err != nil {
		return nil, err
	}
	acting, err := s.actingPlugins(ctx)
	s.Close()
	if err != nil {
		return nil, err
	}
	for _, name := range acting {
		args = append(args, "--disable-plugin", name)
	}
	s = &Server{Name: "pintle"}
	return s, s.startPintle(ctx, path, dir, "pintle", args...)
}

// startPintle starts `pintle server` beside what s has, and returns when it
// serves. When it does not, all of s is closed.
func (s *Server) startPintle(ctx context.Context, path, dir, name string, more ...string) (err error) {
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tokens, err := writeTokens(dir)
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	args := append([]string{"server", "--data-dir", data, "--listen", address, "--registry-listen", "127.0.0.1:0",
		"--advertise-address", advertised, "--service-cidr", clusterIPs, "--token-auth-file", tokens}, more...)
	p, err := start(dir, name, path, args...)
	if err != nil {
		return err
	}
	s.URL, s.processes = "https://"+address, append(s.processes, p)
	s.CAFile = filepath.Join(data, "pki", "ca.crt")
	return p.until(ctx, func(ctx context.Context) (err error) {
		if s.Client, err = trusting(s.CAFile); err != nil {
			return err
		}
		return fetch(ctx, s.Client, s.URL+"/readyz")
	})
}

// actingPlugins are the plugins that do more than admit: controllers and the
// scheduler's.
func (s *Server) actingPlugins(ctx context.Context) (names []string, err error) {
	list, err := s.plugins(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		acts := func(point string) bool { return point != "Mutate" && point != "Validate" }
		if slices.ContainsFunc(p.Status.Points, acts) {
			names = append(names, p.Metadata.Name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("pintle says of no plugin that it acts on objects: are they loaded?")
	}
	return names, nil
}

// plugin is what is read of a Plugin resource.
type plugin struct {
	Metadata struct{ Name string }
	Status   struct{ Points []string } // what it does, once it is loaded
}

func (s *Server) plugins(ctx context.Context) ([]plugin, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/apis/pintle.dev/v1alpha1/plugins", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+Admin)
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct{ Items []plugin }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("plugins of pintle: %s: %w", resp.Status, err)
	}
	return list.Items, nil
}
