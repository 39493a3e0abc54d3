// Package pluginapi is a client of the API group pintle.dev: it uploads
// modules and reads and writes Plugins.
package pluginapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// pieceSize keeps an object of a module below the API's limit, base64 included.
const pieceSize = 768 << 10

// loadTimeout bounds the wait for a plugin to be loaded: a large module takes
// seconds to compile.
const loadTimeout = 60 * time.Second

// Client talks to one cluster.
type Client struct{ rest *rest.RESTClient }

// New makes a client.
func New(c *rest.Config) (*Client, error) {
	c = rest.CopyConfig(c)
	c.APIPath, c.GroupVersion = "/apis", &v1alpha1.GroupVersion
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	r, err := rest.RESTClientFor(c)
	return &Client{r}, err
}

const (
	plugins = "plugins"
	modules = "pluginmodules"
)

func (c *Client) send(ctx context.Context, verb, resource, name string, in, out any) error {
	r := c.rest.Verb(verb).Resource(resource)
	if name != "" {
		r = r.Name(name)
	}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r = r.SetHeader("Content-Type", "application/json").Body(b)
	}
	b, err := r.Do(ctx).Raw()
	if err != nil {
		return statusOf(b, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// statusOf prefers the server's own words.
func statusOf(body []byte, err error) error {
	var s metav1.Status
	if json.Unmarshal(body, &s) == nil && s.Kind == "Status" {
		return &apierrors.StatusError{ErrStatus: s}
	}
	return err
}

// Upload stores a module and returns its digest. What is stored already is
// not sent again.
func (c *Client) Upload(ctx context.Context, module []byte) (string, error) {
	if len(module) == 0 {
		return "", errors.New("the module is empty")
	}
	digest := v1alpha1.DigestOf(module)
	err := c.send(ctx, "GET", modules, v1alpha1.PieceName(digest, 0), nil, nil)
	if err == nil || !apierrors.IsNotFound(err) {
		return digest, err
	}
	n := (len(module) + pieceSize - 1) / pieceSize
	for i := n - 1; i >= 0; i-- { // a module that has its first piece is whole
		m := &v1alpha1.PluginModule{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PluginModule"},
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PieceName(digest, i)},
			Digest:     digest, Piece: int32(i), Pieces: int32(n), Data: module[i*pieceSize : min((i+1)*pieceSize, len(module))],
		}
		if err := c.send(ctx, "POST", modules, "", m, nil); err != nil && !apierrors.IsAlreadyExists(err) {
			c.discard(digest, i+1, n)
			return "", err
		}
	}
	return digest, nil
}

// discard removes the pieces of an upload that was refused, so that they do not
// stand in the way of another. The server does so too, in ten minutes.
func (c *Client) discard(digest string, from, to int) {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	for i := from; i < to; i++ {
		if c.send(ctx, "DELETE", modules, v1alpha1.PieceName(digest, i), nil, nil) != nil {
			return
		}
	}
}

const discardTimeout = 10 * time.Second

// Apply creates a plugin or replaces the spec of the one of that name. It
// returns the generation that is to be loaded.
func (c *Client) Apply(ctx context.Context, p *v1alpha1.Plugin) (generation int64, err error) {
	p.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"}
	have, err := c.Get(ctx, p.Name)
	var out v1alpha1.Plugin
	switch {
	case apierrors.IsNotFound(err):
		err = c.send(ctx, "POST", plugins, "", p, &out)
	case err == nil && have.Labels[v1alpha1.BuiltinLabel] == "true":
		return 0, fmt.Errorf("plugin %q ships with Pintle; choose another name with --name", p.Name)
	case err == nil:
		have.Spec = p.Spec
		err = c.send(ctx, "PUT", plugins, p.Name, have, &out)
	}
	return out.Generation, err
}

// LoadError is why the server could not load a plugin.
type LoadError struct {
	Phase   v1alpha1.Phase
	Message string
}

// Error is the server's message.
func (e *LoadError) Error() string { return e.Message }

// WaitLoaded waits until the generation has been loaded or has failed to.
//
// # Errors
//   - a *LoadError when the server tried and failed
func (c *Client) WaitLoaded(ctx context.Context, name string, generation int64) (*v1alpha1.Plugin, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	for {
		p, err := c.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		if s := p.Status; s.ObservedGeneration >= generation {
			switch s.Phase {
			case v1alpha1.Ready:
				return p, nil
			case v1alpha1.Failed, v1alpha1.Quarantined, v1alpha1.Degraded:
				return nil, &LoadError{s.Phase, s.Message}
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("not within %s (phase %q %s)", loadTimeout, p.Status.Phase, p.Status.Message)
		}
	}
}

// Get reads a plugin.
func (c *Client) Get(ctx context.Context, name string) (*v1alpha1.Plugin, error) {
	var p v1alpha1.Plugin
	err := c.send(ctx, "GET", plugins, name, nil, &p)
	return &p, err
}

// List reads all plugins.
func (c *Client) List(ctx context.Context) ([]v1alpha1.Plugin, error) {
	var l v1alpha1.PluginList
	err := c.send(ctx, "GET", plugins, "", nil, &l)
	return l.Items, err
}

// Remove deletes a plugin.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.send(ctx, "DELETE", plugins, name, nil, nil)
}
