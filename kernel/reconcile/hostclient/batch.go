package hostclient

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk/wire"
)

// batch runs many writes; items that cannot even be read fail by themselves.
func (k *Client) batch(ctx context.Context, r *wire.Reader) error {
	q := r.BatchRequest()
	if err := r.Err(); err != nil {
		return err
	}
	results := make([]registry.BatchResult, len(q.Items))
	targets := make([]registry.Target, len(q.Items))
	var items []registry.BatchItem
	var at []int
	for i, it := range q.Items {
		item, err := k.item(it)
		targets[i] = item.Target
		if err != nil {
			if q.Atomic {
				return fmt.Errorf("item %d: %w", i, err)
			}
			results[i].Err = err
			continue
		}
		items, at = append(items, item), append(at, i)
	}
	if err := k.c.Budget.write(k.c.Plugin, len(items), bytesOf(q.Items, at)); err != nil {
		return err
	}
	done, err := k.c.Registry.Batch(ctx, items, q.Atomic)
	if err != nil {
		return err
	}
	for j, d := range done {
		results[at[j]] = d
	}
	return k.answerBatch(q.Items, results, targets)
}

// bytesOf is the size of what is sent with those items of a batch.
func bytesOf(items []wire.BatchItem, at []int) (n int) {
	for _, i := range at {
		n += len(items[i].Write.Object) + len(items[i].Patch.Data)
	}
	return n
}

func (k *Client) item(it wire.BatchItem) (registry.BatchItem, error) {
	if _, err := k.only.of(onlyOf(it)); err != nil {
		return registry.BatchItem{}, err
	}
	switch it.Write.Verb {
	case "delete":
		d := it.Delete
		t, _, err := k.c.target(d.Resource, d.Namespace, d.Name, "")
		if err == nil {
			err = k.c.May("delete", t)
		}
		return registry.BatchItem{Verb: "delete", Target: t, Delete: deleteOptions(d)}, err
	case "patch":
		p := it.Patch
		t, _, err := k.c.target(p.Resource, p.Namespace, p.Name, p.Subresource)
		if err == nil {
			err = k.c.May("patch", t)
		}
		return registry.BatchItem{Verb: "patch", Target: t, PatchType: types.PatchType(p.Type), Patch: p.Data, Options: k.c.options()}, err
	}
	t, obj, err := k.c.decode(it.Write)
	return registry.BatchItem{Verb: it.Write.Verb, Target: t, Object: obj, Options: k.c.options()}, err
}

// onlyOf are the fields of an item's answer.
func onlyOf(it wire.BatchItem) string {
	if it.Write.Verb == "patch" {
		return it.Patch.Only
	}
	return it.Write.Only // none of a deletion
}

func (k *Client) answerBatch(items []wire.BatchItem, results []registry.BatchResult, targets []registry.Target) error {
	k.buf = wire.AppendUint(k.buf, uint64(len(results)))
	var one []byte
	for i, res := range results {
		var err error
		if one, err = k.appendResult(one[:0], onlyOf(items[i]), res, targets[i]); err != nil {
			return err
		}
		k.buf = wire.AppendBytes(k.buf, one)
	}
	return nil
}

// appendResult appends the answer to one item of a batch.
func (k *Client) appendResult(b []byte, declared string, res registry.BatchResult, t registry.Target) ([]byte, error) {
	if res.Err != nil {
		return wire.AppendError(append(b, 1), wireError(res.Err)), nil
	}
	b = append(b, 0)
	k.c.wrote(t, res.Result)
	if res.Result == nil || res.Result.Object == nil {
		return b, nil
	}
	only, err := k.only.of(declared)
	if err != nil {
		return nil, err
	}
	body, err := k.projected(res.Result.Object, t, only)
	return append(b, body...), err
}
