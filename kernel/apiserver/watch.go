package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// watch streams events until the client, the timeout or the server ends it.
// An event's object is sent in the bytes it shares with lists; only the few
// bytes of the frame around it are made here.
func (s *Server) watch(c *call, a accept, o metav1.ListOptions) error {
	if a.media == mediaYAML {
		return notAcceptable([]string{mediaJSON + ";stream=watch", mediaProtobuf + ";stream=watch"})
	}
	f := &frames{s: s, c: c, a: a}
	if a.as.Kind == "Table" {
		opts, err := tableOptions(c.r)
		if err != nil {
			return err
		}
		f.table = opts
	}
	ctx, cancel := s.streamContext(c.r.Context(), s.watchTimeout(o))
	defer cancel()
	c.r = c.r.WithContext(ctx)
	t := c.target
	t.Name = ""
	w, err := s.Registry.Watch(ctx, t, o)
	if err != nil {
		// A revision that is gone is told inside the stream, where clients
		// expect it; anything else as a plain error.
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			return err
		}
		f.begin()
		defer f.dog.stop()
		f.fail(err)
		return nil
	}
	defer w.Stop()
	f.begin()
	defer f.dog.stop()
	f.run(w, o.AllowWatchBookmarks)
	return nil
}

// frames writes watch events in one media type.
type frames struct {
	s     *Server
	c     *call
	a     accept
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
	if t := flow.From(f.c.r.Context()); n > copied {
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
	if _, err := f.c.w.Write(p); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (f *frames) begin() {
	contentType := f.a.media
	if contentType != mediaJSON {
		contentType += ";stream=watch"
	}
	f.c.w.Header().Set("Content-Type", contentType)
	f.c.w.WriteHeader(http.StatusOK)
	f.rc = http.NewResponseController(f.c.w)
	f.dog = newWatchdog(slowReader, func() { _ = f.rc.SetWriteDeadline(time.Now()) })
	_ = f.flush() // a client that is gone shows in the next write
}

func (f *frames) run(w registry.Watcher, bookmarks bool) {
	count := f.s.metrics.watchEvents.WithLabelValues(f.c.def.Group, f.c.version, f.c.def.Resource)
	events := w.Events()
	ctx := f.c.r.Context()
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
				f.s.Log.Debug("watch ends", "path", f.c.r.URL.Path, "error", err)
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
		return fmt.Errorf("encode event: %w", err)
	}
	return f.add(e.Type.String(), data, shared)
}

// object gives an object's bytes, and whether others have them too.
func (f *frames) object(o *watch.Object) (data []byte, shared bool, err error) {
	switch f.a.as.Kind {
	case "Table":
		t, err := f.s.table(f.c, f.a.as.Version, []*watch.Object{o}, f.table, false)
		if err != nil {
			return nil, false, err
		}
		t.ResourceVersion = strconv.FormatInt(o.Revision, 10)
		f.table.NoHeaders = true // columns are sent once
		b, err := encodeMeta(t, f.a)
		return trimmed(f.a.media, b), false, err
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		data, err = encodePartial(f.a.as.Version, f.a.media, o)
		return data, true, err
	}
	data, err = f.s.encodeObject(f.c.gv(), f.a.media, o)
	return data, true, err
}

// add makes one frame ready: a line of JSON, or a length and a message. Shared
// bytes that are many are written at once, not copied: a thousand watchers that
// do not read would have a thousand copies.
func (f *frames) add(typ string, data []byte, shared bool) error {
	head, tail := jsonFrame(typ)
	if f.a.media == mediaProtobuf {
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
	if !errors.As(err, &api) {
		f.s.Log.Warn("watch failed", "path", f.c.r.URL.Path, "error", err)
	}
	data, encErr := encodeMeta(status(err), accept{media: f.a.media})
	if encErr != nil {
		return
	}
	_ = f.add("ERROR", trimmed(f.a.media, data), false) // a copy that cannot fail
	_ = f.flush()                                       // the stream ends here either way
}

// bookmark is an empty object of the kind at a revision. The one that ends the
// initial events says so.
func (f *frames) bookmark(e watch.Event) (*watch.Object, error) {
	obj, err := f.s.Table.Scheme.New(f.c.def.Hub())
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(f.c.def.Hub())
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
