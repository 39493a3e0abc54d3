// Package modules keeps uploaded plugin modules, named by the sha256 of their
// bytes. They are stored as PluginModule objects through the registry, in
// pieces, so that they survive restarts and reach every server.
package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

// MaxSize is the largest module, in bytes.
const MaxSize = 64 << 20

// pieceSize keeps an object, in base64, well below what etcd takes.
const pieceSize = 512 << 10

// Errors that callers act on.
var (
	ErrNotFound = errors.New("module is not stored")
	ErrTooLarge = fmt.Errorf("module is larger than %d MiB", MaxSize>>20)
	ErrDigest   = errors.New("module does not have this digest")
)

// Store stores modules. It is safe for concurrent use.
type Store struct{ registry registry.Registry }

// New makes a store on a registry.
func New(r registry.Registry) *Store { return &Store{r} }

func target(name string) registry.Target {
	return registry.Target{Resource: v1alpha1.Modules, Name: name}
}

// Put stores a module and returns its digest. Storing what is stored already
// does nothing.
func (s *Store) Put(ctx context.Context, module []byte) (digest string, err error) {
	if len(module) == 0 || len(module) > MaxSize {
		return "", ErrTooLarge
	}
	digest = v1alpha1.DigestOf(module)
	pieces := (len(module) + pieceSize - 1) / pieceSize
	// The first piece is written last: a module that has it is whole.
	for i := pieces - 1; i >= 0; i-- {
		if s.has(ctx, digest, i) {
			continue
		}
		end := min((i+1)*pieceSize, len(module))
		obj := &v1alpha1.PluginModule{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PluginModule"},
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PieceName(digest, i)},
			Digest:     digest, Piece: int32(i), Pieces: int32(pieces), Data: module[i*pieceSize : end]}
		if _, err := s.registry.Create(ctx, target(obj.Name), obj, registry.WriteOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			err = fmt.Errorf("store module %s, piece %d: %w", digest, i, err)
			return "", errors.Join(err, s.discard(ctx, digest, i+1, pieces))
		}
	}
	return digest, nil
}

// has tells that a piece is stored: a look is cheaper than half a megabyte that is
// encoded, read back and then refused. Who may not look writes.
func (s *Store) has(ctx context.Context, digest string, piece int) bool {
	_, err := s.registry.Get(ctx, target(v1alpha1.PieceName(digest, piece)), metav1.GetOptions{})
	return err == nil
}

// discard removes the pieces of an upload that came to nothing.
func (s *Store) discard(ctx context.Context, digest string, from, to int) error {
	for i := from; i < to; i++ {
		if _, err := s.registry.Delete(ctx, target(v1alpha1.PieceName(digest, i)), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("discard piece %d: %w", i, err)
		}
	}
	return nil
}

// Get reads a module and checks its digest.
//
// # Errors
//   - ErrNotFound, also when a piece is missing; ErrDigest when it was damaged
func (s *Store) Get(ctx context.Context, digest string) ([]byte, error) {
	var out []byte
	for i, pieces := 0, 1; i < pieces; i++ {
		got, err := s.registry.Get(ctx, target(v1alpha1.PieceName(digest, i)), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s: %w", digest, ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("module %s, piece %d: %w", digest, i, err)
		}
		m, ok := got.Obj.(*v1alpha1.PluginModule)
		if !ok {
			return nil, fmt.Errorf("module %s, piece %d: a %T", digest, i, got.Obj)
		}
		pieces = int(m.Pieces)
		if out = append(out, m.Data...); len(out) > MaxSize {
			return nil, ErrTooLarge
		}
	}
	if v1alpha1.DigestOf(out) != digest {
		return nil, fmt.Errorf("%s: %w", digest, ErrDigest)
	}
	return out, nil
}

// Delete removes a module.
//
// # Errors
//   - ErrNotFound
func (s *Store) Delete(ctx context.Context, digest string) error {
	got, err := s.registry.Get(ctx, target(v1alpha1.PieceName(digest, 0)), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return err
	}
	m, ok := got.Obj.(*v1alpha1.PluginModule)
	if !ok {
		return fmt.Errorf("module %s: a %T", digest, got.Obj)
	}
	for i := range int(m.Pieces) {
		if _, err := s.registry.Delete(ctx, target(v1alpha1.PieceName(digest, i)), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete module %s, piece %d: %w", digest, i, err)
		}
	}
	return nil
}

// Collect removes the modules that are not to be kept, and returns their
// digests. keep is told when the last piece of a module was stored: one whose
// upload was broken off is a module, too.
func (s *Store) Collect(ctx context.Context, keep func(digest string, stored time.Time) bool) (removed []string, err error) {
	l, err := s.registry.List(ctx, target(""), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	names, stored := map[string][]string{}, map[string]time.Time{}
	for _, it := range l.Items {
		m, ok := it.Obj.(*v1alpha1.PluginModule)
		if !ok {
			continue
		}
		names[m.Digest] = append(names[m.Digest], m.Name)
		if t := m.CreationTimestamp.Time; t.After(stored[m.Digest]) {
			stored[m.Digest] = t
		}
	}
	for digest, pieces := range names {
		if keep(digest, stored[digest]) {
			continue
		}
		slices.Sort(pieces) // the first piece first: without it nobody takes the module for whole
		there := false      // else the cache lags
		for _, name := range pieces {
			_, err := s.registry.Delete(ctx, target(name), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return removed, fmt.Errorf("delete module %s: %w", digest, err)
			}
			there = there || err == nil
		}
		if there {
			removed = append(removed, digest)
		}
	}
	return removed, nil
}

// List is the digests of all modules that are stored whole.
func (s *Store) List(ctx context.Context) ([]string, error) {
	l, err := s.registry.List(ctx, target(""), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, it := range l.Items {
		if hex, ok := strings.CutSuffix(it.Name, "-0"); ok {
			out = append(out, "sha256:"+hex)
		}
	}
	return out, nil
}
