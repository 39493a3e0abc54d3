package daemonset

import (
	"errors"
	"fmt"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// maxBatch bounds the pods that one round makes, and those that it removes; the rest
// follows in the next.
const maxBatch = 1000

// maxNotes bounds the events of one batch: beyond, a line for each pod says nothing
// more.
const maxNotes = 100

// executor carries out a plan.
type executor struct {
	client.Client
	set *appsv1.DaemonSet
	// size is how many pods the next batch makes: it doubles from one on as long as
	// none is refused, so that a template that is refused costs little.
	size int
}

// run makes pods, and removes others even if that was refused. more tells that some are
// left for another round.
func (e *executor) run(p *plan, hash string) (more bool, err error) {
	create, remove := p.create[:min(len(p.create), maxBatch)], p.remove[:min(len(p.remove), maxBatch)]
	for _, n := range p.notes {
		e.Event(e.set, n)
	}
	made := e.create(create, hash)
	gone := e.remove(remove)
	return len(p.create) > len(create) || len(p.remove) > len(remove), errors.Join(made, gone)
}

func (e *executor) create(nodes []string, hash string) error {
	if len(nodes) == 0 {
		return nil
	}
	m, err := newMold(e.set, hash)
	if err != nil {
		return err
	}
	e.size = max(e.size, 1)
	for len(nodes) > 0 {
		n := min(e.size, len(nodes))
		ops := make([]client.Op, n)
		for i := range ops {
			body, err := m.pod(nodes[i])
			if err != nil {
				return err
			}
			ops[i] = client.Op{Verb: client.VerbCreate, Object: &draft{body: body}, Brief: true}
		}
		if err := e.batch(ops, words{"SuccessfulCreate", "Created pod: ", "Created %d pods", "FailedCreate", "Error creating: "}); err != nil {
			e.size = 1
			return err
		}
		nodes, e.size = nodes[n:], min(2*e.size, maxBatch)
	}
	return nil
}

func (e *executor) remove(pods []*pod) error {
	if len(pods) == 0 {
		return nil
	}
	ops := make([]client.Op, len(pods))
	for i, p := range pods {
		ops[i] = client.Op{Verb: client.VerbDelete, Object: p, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(p.UID)}}
	}
	return e.batch(ops, words{"SuccessfulDelete", "Deleted pod: ", "Deleted %d pods", "FailedDelete", "Error deleting: "})
}

// words are what events say of a batch.
type words struct{ reason, one, many, failed, failure string }

// batch writes, and records what came of it; the error is the first of them. A pod that
// is gone, or another one now, was deleted.
func (e *executor) batch(ops []client.Op, w words) error {
	errs, err := e.Batch(ops, false)
	if err != nil {
		return err
	}
	var failed error
	n := 0
	for i, err := range errs {
		gone := ops[i].Verb == client.VerbDelete && (client.IsNotFound(err) || client.IsConflict(err))
		switch {
		case err == nil:
			if n++; len(ops) <= maxNotes {
				e.Event(e.set, client.Note{Reason: w.reason, Message: w.one + ops[i].Object.(metav1.Accessor).GetObjectMeta().Name})
			}
		case !gone && failed == nil:
			failed = err
		}
	}
	if len(ops) > maxNotes && n > 0 {
		e.Event(e.set, client.Note{Reason: w.reason, Message: fmt.Sprintf(w.many, n)})
	}
	if failed != nil && !client.IsNamespaceTerminating(failed) {
		e.Event(e.set, client.Note{Warning: true, Reason: w.failed, Message: w.failure + failed.Error()})
	}
	return failed
}
