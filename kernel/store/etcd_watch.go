package store

import (
	"context"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

func (s *etcd) Watch(ctx context.Context, prefix string, after int64) Watcher {
	opts := []clientv3.OpOption{
		clientv3.WithPrefix(),
		clientv3.WithRev(after + 1),
		clientv3.WithProgressNotify(),
	}
	if s.config.Fragments {
		opts = append(opts, clientv3.WithFragment())
	}
	// A member cut off from its peers must say so instead of falling silent.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ownStream(ctx)))
	w := &etcdWatcher{batches: make(chan Batch)}
	go func() {
		defer cancel()
		w.run(ctx, s.client.Watch(ctx, prefix, opts...))
	}()
	return w
}

// ownStream makes the watch that is opened with the context have a stream of its
// own. etcd's client puts all watches whose metadata are equal on one stream, and
// there the opening of many deadlocks: the client does not read while it sends a
// request, and the server does not read requests while it waits to send events.
func (s *etcd) ownStream(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "pintle-watch", strconv.FormatUint(s.watches.Add(1), 10))
}

type etcdWatcher struct {
	batches chan Batch
	err     error // written before batches is closed
}

func (w *etcdWatcher) Batches() <-chan Batch { return w.batches }
func (w *etcdWatcher) Err() error            { return w.err }

// run hands responses on. etcd keeps the events of a revision in one response,
// and its client joins the fragments of a response, so a response is a batch.
func (w *etcdWatcher) run(ctx context.Context, responses clientv3.WatchChan) {
	defer close(w.batches)
	for r := range responses {
		if err := r.Err(); err != nil {
			if ctx.Err() == nil {
				w.err = fmt.Errorf("watch: %w", classify(err))
			}
			return
		}
		b, ok := batch(&r)
		if !ok {
			continue
		}
		select {
		case w.batches <- b:
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() == nil {
		w.err = fmt.Errorf("watch: %w", ErrUnavailable)
	}
}

// batch converts a response; ok is false for one that carries nothing.
func batch(r *clientv3.WatchResponse) (b Batch, ok bool) {
	if len(r.Events) == 0 {
		return Batch{Revision: r.Header.Revision}, r.IsProgressNotify()
	}
	b.Events = make([]Event, len(r.Events))
	for i, e := range r.Events {
		b.Events[i].KV = fromProto(e.Kv)
		b.Events[i].Delete = e.Type == clientv3.EventTypeDelete
	}
	// The header's revision is the store's and may be ahead of these events.
	b.Revision = r.Events[len(r.Events)-1].Kv.ModRevision
	return b, true
}
