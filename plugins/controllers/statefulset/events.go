package statefulset

import (
	"errors"
	"fmt"

	"github.com/pintle-io/pintle/sdk/client"
)

// titles are the verbs as events have them, in upstream's words.
var titles = map[verb]string{create: "Create", update: "Update", remove: "Delete", prepare: "Update"}

// tell records what became of a group, and answers its first error. What waits
// for the end of a claim is none, but the group ends here.
func (e *executor) tell(out []*outcome) error {
	var first error
	well := map[verb]int{}
	failed := false
	for _, o := range out {
		switch {
		case client.IsNamespaceTerminating(o.err):
			return o.err // nothing can be made there any more, and the set goes too
		case o.err == nil:
			e.done++
			well[o.verb]++
			if o.verb != prepare && len(out) <= maxNotes {
				e.note(o, nil)
			}
		default:
			if !failed && !o.quiet && (o.verb != prepare || len(o.owners) > 0) {
				e.note(o, o.err)
				failed = true
			}
			if first == nil || errors.Is(first, errHeld) {
				first = o.err
			}
		}
	}
	if len(out) > maxNotes {
		for _, v := range []verb{create, update, remove} {
			if well[v] > 0 {
				e.Event(e.set, client.Note{Reason: "Successful" + titles[v], Message: fmt.Sprintf("%s %d Pods in StatefulSet %s successful", titles[v], well[v], e.set.Name)})
			}
		}
	}
	return first
}

func (e *executor) note(o *outcome, err error) {
	title := titles[o.verb]
	if err == nil {
		e.Event(e.set, client.Note{Reason: "Successful" + title, Message: fmt.Sprintf("%s Pod %s in StatefulSet %s successful", title, o.name, e.set.Name)})
		return
	}
	e.Event(e.set, client.Note{Warning: true, Reason: "Failed" + title, Message: fmt.Sprintf("%s Pod %s in StatefulSet %s failed error: %v", title, o.name, e.set.Name, err)})
}
