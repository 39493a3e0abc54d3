package custom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/custom/conditions"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// ControllerConfig is what a Controller is made of.
type ControllerConfig struct {
	Registry  registry.Registry
	Codec     Codec
	Informers *informer.Metrics
	Clock     clock.WithTicker // nil is the real one
	Log       *slog.Logger     // nil discards
}

// Controller writes the status of definitions, and clears away the objects of those
// that go. One runs at a time, on the server that leads.
type Controller struct {
	c      ControllerConfig
	known  map[string]*known // by name
	names  claims
	dirty  map[string]bool                                      // whose status is to be looked at
	fresh  map[string]*apiextensionsv1.CustomResourceDefinition // of dirty, what has just been read
	retry  *backoff.Retry
	ends   sync.WaitGroup
	ending map[string]bool // by name; guarded by mu
	ended  chan string
	room   chan struct{} // of those that are cleared away at a time
	mu     sync.Mutex
}

// known is what the controller keeps of a definition.
type known struct {
	object *watch.Object
	group  string
	// refused: it waits for names that others have.
	refused bool
}

// NewController makes a Controller. Nothing is followed before Run.
func NewController(c ControllerConfig) *Controller {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Controller{c: c, known: map[string]*known{}, names: claims{}, dirty: map[string]bool{}, fresh: map[string]*apiextensionsv1.CustomResourceDefinition{}, retry: backoff.New(firstRetry, maxRetry),
		ending: map[string]bool{}, ended: make(chan string), room: make(chan struct{}, maxEnds)}
}

// Between two tries to write.
const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 5 * time.Second
)

const (
	// maxWrites bounds the statuses that are written together.
	maxWrites = 100
	// maxEnds bounds the definitions whose objects are deleted at a time.
	maxEnds = 8
)

// Run follows definitions until ctx ends.
func (x *Controller) Run(ctx context.Context) error {
	updates := make(informer.Updates, 4)
	i := informer.New(informer.Config{Name: "custom definitions", Registry: x.c.Registry, Target: registry.Target{Resource: Definitions}, Handler: updates, Clock: x.c.Clock, Metrics: x.c.Informers, Log: x.c.Log})
	var following sync.WaitGroup
	following.Go(func() { i.Run(ctx) })
	defer following.Wait()
	defer x.ends.Wait()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-updates:
			x.deliver(ctx, u)
		case name := <-x.ended:
			x.forgetEnd(ctx, name)
		case <-again:
		}
		again = nil
		for len(x.dirty) > 0 && again == nil && ctx.Err() == nil {
			if err := x.write(ctx); err != nil && ctx.Err() == nil {
				again = x.c.Clock.After(x.retry.Failed(x.c.Log, "the status of CustomResourceDefinitions is not written", err))
			} else {
				x.retry.Succeeded(x.c.Log)
			}
		}
	}
}

// deliver applies what the informer delivers.
func (x *Controller) deliver(ctx context.Context, u informer.Update) {
	if u.Replace {
		there := map[string]bool{}
		for _, o := range u.Objects {
			there[o.Name] = true
			x.put(ctx, o)
		}
		for name := range x.known {
			if !there[name] {
				x.remove(name)
			}
		}
		return
	}
	for _, e := range u.Events {
		if e.Type == watch.Deleted {
			x.remove(e.Object.Name)
		} else {
			x.put(ctx, e.Object)
		}
	}
}

// put observes a definition's newest state.
func (x *Controller) put(ctx context.Context, o *watch.Object) {
	if k := x.known[o.Name]; k != nil && k.object.Revision >= o.Revision {
		return
	}
	crd, err := decode(x.c.Codec, o)
	if err != nil {
		x.c.Log.Error("a stored definition cannot be read", "name", o.Name, "error", err)
		return
	}
	x.known[o.Name] = &known{object: o, group: crd.Spec.Group}
	x.claim(crd)
	x.dirty[o.Name] = true
	if delete(x.fresh, o.Name); len(x.fresh) < maxWrites {
		x.fresh[o.Name] = crd // no more: at the start there may be thousands
	}
	if crd.DeletionTimestamp != nil && apihelpers.CRDHasFinalizer(crd, apiextensionsv1.CustomResourceCleanupFinalizer) {
		x.end(ctx, o.Name)
	}
}

func (x *Controller) remove(name string) {
	k := x.known[name]
	if k == nil {
		return
	}
	delete(x.known, name)
	delete(x.dirty, name)
	delete(x.fresh, name)
	if x.names.release(k.group, name) {
		x.reconsider(k.group)
	}
}

// claim takes up the names that a definition has been granted.
func (x *Controller) claim(crd *apiextensionsv1.CustomResourceDefinition) {
	if x.names.grant(crd) {
		x.reconsider(crd.Spec.Group)
	}
}

// reconsider looks again at the definitions of a group that wait for names.
func (x *Controller) reconsider(group string) {
	for name, k := range x.known {
		if k.group == group && k.refused {
			x.dirty[name] = true
		}
	}
}

// write writes the statuses that are not as they should be, some at a time. What
// fails for another's write comes back as an event.
func (x *Controller) write(ctx context.Context) error {
	names := make([]string, 0, len(x.dirty))
	for name := range x.dirty {
		names = append(names, name)
	}
	slices.Sort(names)
	var items []registry.BatchItem
	var of []*apiextensionsv1.CustomResourceDefinition
	for _, name := range names {
		if len(items) == maxWrites {
			break
		}
		k, crd := x.known[name], x.fresh[name]
		delete(x.dirty, name)
		delete(x.fresh, name)
		if k == nil {
			continue
		}
		if crd == nil {
			var err error
			if crd, err = decode(x.c.Codec, k.object); err != nil {
				continue // it has been reported
			}
		}
		next, changed := conditions.Next(crd, x.names.in(k.group))
		k.refused = !apihelpers.IsCRDConditionTrue(next, apiextensionsv1.NamesAccepted)
		if !changed {
			continue
		}
		x.claim(next) // so that the others of this round know
		items, of = append(items, x.update(next)), append(of, crd)
	}
	if len(items) == 0 {
		return nil
	}
	results, err := x.c.Registry.Batch(ctx, items, false)
	if err != nil {
		for _, crd := range of {
			x.names.grant(crd)
			x.dirty[crd.Name] = true
		}
		return err
	}
	var errs []error
	for i := range results {
		err := results[i].Err
		if err == nil {
			if k, o := x.known[of[i].Name], results[i].Result.Object; k != nil && o != nil {
				k.object = o // its event tells nothing new
			}
			continue
		}
		x.claim(of[i])
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			x.dirty[of[i].Name] = true
			errs = append(errs, fmt.Errorf("%s: %w", of[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// fieldManager is who writes, as upstream has it.
const fieldManager = "kube-apiserver"

func (x *Controller) update(crd *apiextensionsv1.CustomResourceDefinition) registry.BatchItem {
	return registry.BatchItem{Verb: "update", Target: registry.Target{Resource: Definitions, Name: crd.Name, Subresource: "status"},
		Object: crd, Options: registry.WriteOptions{FieldManager: fieldManager}}
}
