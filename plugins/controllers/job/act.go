package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// act makes and removes pods. The error is the first of them.
func act(c client.Client, j *batchv1.Job, p plan) error {
	if len(p.create) > 0 {
		return create(c, j, p.create)
	}
	doomed := p.remove
	var failed error
	if p.end == nil { // they are not to be counted
		var free map[*pod]bool
		free, failed = untrack(c, p.remove)
		doomed = slices.DeleteFunc(slices.Clone(p.remove), func(x *pod) bool { return !free[x] })
	}
	if len(doomed) > 0 {
		failed = errors.Join(failed, remove(c, j, doomed))
	}
	return failed
}

func create(c client.Client, j *batchv1.Job, list []creation) error {
	ops := make([]client.Op, len(list))
	var body []byte
	for i := range ops {
		if body == nil || list[i].index != unknownIndex {
			var err error
			if body, err = json.Marshal(newPod(j, list[i])); err != nil {
				return fmt.Errorf("encode pod: %w", err)
			}
		}
		ops[i] = client.Op{Verb: client.VerbCreate, Object: &draft{body: body}, Brief: true}
	}
	return batch(c, j, ops, words{"SuccessfulCreate", "Created pod: ", "Created %d pods", "FailedCreate", "Error creating: "})
}

func remove(c client.Client, j *batchv1.Job, pods []*pod) error {
	ops := make([]client.Op, len(pods))
	for i, p := range pods {
		ops[i] = client.Op{Verb: client.VerbDelete, Object: p, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(p.UID)}}
	}
	return batch(c, j, ops, words{"SuccessfulDelete", "Deleted pod: ", "Deleted %d pods", "FailedDelete", "Error deleting: "})
}

// words are what events say of a batch.
type words struct{ reason, one, many, failed, failure string }

// batch writes, and records what came of it; the error is the first of them. A
// pod that is gone, or another one now, was deleted.
func batch(c client.Client, j *batchv1.Job, ops []client.Op, w words) error {
	errs, err := c.Batch(ops, false)
	if err != nil {
		return err
	}
	var failed error
	n := 0
	for i, err := range errs {
		deleted := ops[i].Verb == client.VerbDelete && (client.IsNotFound(err) || client.IsConflict(err))
		if err != nil && !deleted {
			if failed == nil {
				failed = err
			}
			continue
		}
		if n++; len(ops) <= maxNotes {
			c.Event(j, client.Note{Reason: w.reason, Message: w.one + ops[i].Object.(metav1.Accessor).GetObjectMeta().Name})
		}
	}
	if len(ops) > maxNotes && n > 0 {
		c.Event(j, client.Note{Reason: w.reason, Message: fmt.Sprintf(w.many, n)})
	}
	if failed != nil && !client.IsNamespaceTerminating(failed) {
		c.Event(j, client.Note{Warning: true, Reason: w.failed, Message: w.failure + failed.Error()})
	}
	return failed
}
