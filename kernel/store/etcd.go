package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config says how New uses its client. The zero value is right for a client
// in this process.
type Config struct {
	// Fragments asks the server to cut large watch responses into messages
	// below its request limit; the client joins them again. Dial sets it.
	Fragments bool
}

// New returns the Store kept by the etcd that client talks to. Close of the
// Store closes the client.
func New(client *clientv3.Client, c Config) Store {
	return &etcd{client: client, config: c}
}

type etcd struct {
	client  *clientv3.Client
	config  Config
	watches atomic.Uint64 // opened so far
}

func (s *etcd) Commit(ctx context.Context, ops []Op) (int64, error) {
	if err := CheckOps(ops); err != nil {
		return 0, err
	}
	var (
		compares []clientv3.Cmp
		writes   = make([]clientv3.Op, 0, len(ops))
		reads    []clientv3.Op // of the keys compared, for the conflict's details
	)
	for i := range ops {
		op := &ops[i]
		if op.Expect != Any {
			compares = append(compares, clientv3.Compare(clientv3.ModRevision(op.Key), "=", op.Expect))
			reads = append(reads, clientv3.OpGet(op.Key))
		}
		switch {
		case op.Check:
		case op.Value == nil:
			writes = append(writes, clientv3.OpDelete(op.Key))
		default:
			writes = append(writes, clientv3.OpPut(op.Key, string(op.Value)))
		}
	}
	resp, err := s.client.Txn(ctx).If(compares...).Then(writes...).Else(reads...).Commit()
	if err != nil {
		return 0, fmt.Errorf("commit of %d operations: %w", len(ops), classify(err))
	}
	if !resp.Succeeded {
		return 0, conflict(ops, resp.Responses)
	}
	return resp.Header.Revision, nil
}

// conflict finds the first op whose precondition the values read in the same
// transaction do not meet. reads are in the order of the ops that have one.
func conflict(ops []Op, reads []*etcdserverpb.ResponseOp) error {
	next := 0
	for i := range ops {
		if ops[i].Expect == Any {
			continue
		}
		var current KV
		if kvs := reads[next].GetResponseRange().GetKvs(); len(kvs) > 0 {
			current = fromProto(kvs[0])
		}
		next++
		if current.ModRevision != ops[i].Expect {
			return &ConflictError{Index: i, Key: ops[i].Key, Current: current}
		}
	}
	return fmt.Errorf("%w: etcd does not say which", ErrConflict)
}

func (s *etcd) Get(ctx context.Context, key string) (KV, bool, int64, error) {
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return KV{}, false, 0, fmt.Errorf("get %s: %w", key, classify(err))
	}
	if len(resp.Kvs) == 0 {
		return KV{}, false, resp.Header.Revision, nil
	}
	return fromProto(resp.Kvs[0]), true, resp.Header.Revision, nil
}

func (s *etcd) List(ctx context.Context, prefix string, o ListOptions) ([]KV, bool, int64, error) {
	start, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		start, end = "\x00", "\x00" // etcd's notation of the whole key space
	}
	if o.After != "" && o.After >= start {
		start = o.After + "\x00"
	}
	if end != "\x00" && start >= end {
		start = end // behind the prefix: an empty range, still read at its revision
	}
	opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithRev(o.Revision), clientv3.WithLimit(o.Limit)}
	if o.KeysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	resp, err := s.client.Get(ctx, start, opts...)
	if err != nil {
		return nil, false, 0, fmt.Errorf("list %s: %w", prefix, classify(err))
	}
	kvs := make([]KV, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		kvs[i] = fromProto(kv)
	}
	revision := o.Revision
	if revision == 0 {
		revision = resp.Header.Revision
	}
	return kvs, resp.More, revision, nil
}

// revisionKey is read by Revision. It need not exist, but it must not be a
// directory of anything, so that the read touches no value.
const revisionKey = "/pintle/revision"

func (s *etcd) Revision(ctx context.Context) (int64, error) {
	resp, err := s.client.Get(ctx, revisionKey, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read the revision: %w", classify(err))
	}
	return resp.Header.Revision, nil
}

func (s *etcd) Compact(ctx context.Context, revision int64) error {
	if _, err := s.client.Compact(ctx, revision); err != nil {
		return fmt.Errorf("compact to %d: %w", revision, classify(err))
	}
	return nil
}

func (s *etcd) Close() error { return s.client.Close() }

func fromProto(kv *mvccpb.KeyValue) KV {
	return KV{
		Key:            string(kv.Key),
		Value:          kv.Value,
		ModRevision:    kv.ModRevision,
		CreateRevision: kv.CreateRevision,
	}
}

var _ Store = (*etcd)(nil)
