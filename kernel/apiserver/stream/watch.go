package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Watches serves watches. It is immutable and safe for concurrent use.
type Watches struct {
	Registry registry.Access
	Render   *render.Renderer
	Metrics  *metrics.Metrics
	Lifetime *Lifetime
	Log      *slog.Logger
	// MinTimeout is how long a watch lasts at least that names no time.
	MinTimeout time.Duration
}

// Watch streams events until the client, the timeout or the server ends it.
// An event's object is sent in the bytes it shares with lists; only the few
// bytes of the frame around it are made here.
func (s *Watches) Watch(c *endpoint.Request, a negotiation.Accepted, o metav1.ListOptions) error {
	if a.Media == negotiation.YAML {
		return negotiation.NotAcceptable(negotiation.Streams)
	}
	f := &frames{s: s, c: c, a: a}
	if a.As.Kind == "Table" {
		opts, err := render.TableOptions(c.R)
		if err != nil {
			return err
		}
		f.table = opts
	}
	ctx, cancel := s.Lifetime.Context(c.R.Context(), s.timeout(o))
	defer cancel()
	c.R = c.R.WithContext(ctx)
	t := c.Target
	t.Name = ""
	w, err := c.As(s.Registry).Watch(ctx, t, o)
	if err != nil {
		// A revision that is gone or not there yet is told inside the stream,
		// where clients expect it; anything else as a plain error.
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			return err
		}
		flow.From(ctx).Begun()
		f.begin()
		defer f.dog.stop()
		f.fail(err)
		return nil
	}
	defer w.Stop()
	flow.From(ctx).Begun() // what it will tell is settled, and waits for the client
	f.begin()
	defer f.dog.stop()
	f.run(w, o.AllowWatchBookmarks)
	return nil
}

// frames writes watch events in one media type.
type frames struct {
	s     *Watches
	c     *endpoint.Request
	a     negotiation.Accepted
	table metav1.TableOptions
	rc    *http.ResponseController
	dog   *watchdog
	// ready is what was not yet written: the frames of a burst go out in one
	// write, which is a fraction of the work.
	ready []byte
}

// A client may take its time to read: what its watch holds meanwhile are small
// frames of its own, up to burst, and the shared bytes of one large object.
const (
	burst  = 64 << 10 // ready frames from which they are written
	copied = 16 << 10 // an object up to which it is copied into a frame
)

// errBehind ends a watch when too many others hold too much for slow clients.
var errBehind = apierrors.NewTimeoutError("the watcher is too slow and was cut off", 1)

// flush sends what is ready.
func (f *frames) flush() error {
	err := f.push()
	_ = f.rc.Flush() // a client that is gone shows in the next write
	return err
}

// push writes what is ready. What is not small counts while the client takes
// it.
func (f *frames) push() error {
	n := len(f.ready)
	if n == 0 {
		return nil
	}
	if t := flow.From(f.c.R.Context()); n > copied {
		if !t.HoldFrame(n) {
			f.ready = f.ready[:0]
			f.fail(errBehind)
			return errBehind
		}
		defer t.FreeFrame(n)
	}
	err := f.write(f.ready)
	if f.ready = f.ready[:0]; cap(f.ready) > 2*burst {
		f.ready = nil
	}
	return err
}

func (f *frames) write(p []byte) error {
	f.dog.arm()
	defer f.dog.calm()
	if _, err := f.c.W.Write(p); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (f *frames) begin() {
	contentType := f.a.Media
	if contentType != negotiation.JSON {
		contentType += ";stream=watch"
	}
	f.c.W.Header().Set("Content-Type", contentType)
	f.c.W.WriteHeader(http.StatusOK)
	f.rc = http.NewResponseController(f.c.W)
	f.dog = newWatchdog(response.SlowReader, func() { _ = f.rc.SetWriteDeadline(time.Now()) })
	_ = f.flush() // a client that is gone shows in the next write
}

func (f *frames) run(w registry.Watcher, bookmarks bool) {
	count := f.s.Metrics.WatchEvents.WithLabelValues(f.c.Def.Group, f.c.Version, f.c.Def.Resource)
	events := w.Events()
	ctx := f.c.R.Context()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				if err := w.Err(); err != nil && ctx.Err() == nil {
					f.fail(err)
				}
				return
			}
			if e.Type == watch.Bookmark && !bookmarks {
				continue
			}
			err := f.event(e)
			count.Inc()
			if err == nil && (len(events) == 0 || len(f.ready) >= burst) {
				err = f.flush()
			}
			if err != nil {
				f.s.Log.Debug("watch ends", "path", f.c.R.URL.Path, "error", err)
				return
			}
		}
	}
}

func (f *frames) event(e watch.Event) error {
	o := e.Object
	if e.Type == watch.Bookmark {
		var err error
		if o, err = f.bookmark(e); err != nil {
			return err
		}
	}
	data, shared, err := f.object(o)
	if err != nil {
		if f.c.R.Context().Err() == nil {
			f.fail(err) // the client learns why, and need not come back at once
		}
		return fmt.Errorf("encode event: %w", err)
	}
	return f.add(e.Type.String(), data, shared)
}

// object gives an object's bytes, and whether others have them too.
func (f *frames) object(o *watch.Object) (data []byte, shared bool, err error) {
	switch f.a.As.Kind {
	case "Table":
		t, err := f.s.Render.MakeTable(f.c, f.a.As.Version, []*watch.Object{o}, f.table, false)
		if err != nil {
			return nil, false, err
		}
		t.ResourceVersion = strconv.FormatInt(o.Revision, 10)
		f.table.NoHeaders = true // columns are sent once
		b, err := response.EncodeMeta(t, f.a)
		return render.Trimmed(f.a.Media, b), false, err
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		data, err = render.EncodePartial(f.a.As.Version, f.a.Media, o)
		return data, true, err
	}
	all, err := f.s.Render.Objects(f.c, f.c.GV(), f.a.Media, o)
	if err != nil {
		return nil, false, err
	}
	return all[0], true, nil
}

// add makes one frame ready: a line of JSON, or a length and a message. Shared
// bytes that are many are written at once, not copied: a thousand watchers that
// do not read would have a thousand copies.
func (f *frames) add(typ string, data []byte, shared bool) error {
	head, tail := jsonFrame(typ)
	if f.a.Media == negotiation.Protobuf {
		head, tail = protobufFrame(typ, len(data)), nil
	}
	f.ready = append(f.ready, head...)
	if !shared || len(data) <= copied {
		f.ready = append(append(f.ready, data...), tail...)
		return nil
	}
	if err := f.push(); err != nil {
		return err
	}
	if err := f.write(data); err != nil {
		return err
	}
	f.ready = append(f.ready, tail...)
	return nil
}

// fail ends the stream with an ERROR event.
func (f *frames) fail(err error) {
	var api apierrors.APIStatus
	if !errors.As(err, &api) && !errors.Is(err, context.DeadlineExceeded) {
		f.s.Log.Warn("watch failed", "path", f.c.R.URL.Path, "error", err)
	}
	data, encErr := response.EncodeMeta(response.Status(err), negotiation.Accepted{Media: f.a.Media})
	if encErr != nil {
		return
	}
	_ = f.add("ERROR", render.Trimmed(f.a.Media, data), false) // a copy that cannot fail
	_ = f.flush()                                              // the stream ends here either way
}

// bookmark is an empty object of the kind at a revision. The one that ends the
// initial events says so.
func (f *frames) bookmark(e watch.Event) (*watch.Object, error) {
	obj, err := f.s.Render.New(f.c.Def, f.c.Def.Hub())
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(f.c.Def.Hub())
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	m.SetResourceVersion(strconv.FormatInt(e.Revision, 10))
	if e.InitialEnd {
		m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return &watch.Object{Revision: e.Revision, Obj: obj}, nil
}

// timeout is how long a watch lasts. Without a wish it is spread, so
// that the watches of a fleet do not all come back at once.
func (s *Watches) timeout(o metav1.ListOptions) time.Duration {
	if o.TimeoutSeconds != nil && *o.TimeoutSeconds > 0 {
		return time.Duration(*o.TimeoutSeconds) * time.Second
	}
	return time.Duration(float64(s.MinTimeout) * (1 + rand.Float64()))
}
