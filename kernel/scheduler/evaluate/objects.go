package evaluate

import (
	"slices"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
)

// voidObjects drops what instances said that looked at objects which have changed
// since: they are asked about the pod and every row again.
func (v *verdicts) voidObjects(view *objects.View) {
	for i := range v.pre {
		if p := &v.pre[i]; len(p.objects) > 0 && view.ChangedSince(p.objects, p.since) {
			p.gen, p.objects = 0, nil
			v.filled = false
		}
	}
}

// read notes what an instance looked at when it was asked about rows.
func (v *verdicts) read(instance int, refs []objects.Ref) {
	p := &v.pre[instance]
	for _, r := range refs {
		if !slices.Contains(p.objects, r) {
			p.objects = append(p.objects, r)
		}
	}
}

// noteObjects adds to a refusal the objects that those who refused looked at. Of an
// instance of several members, what one of them looked at counts for all that read
// objects.
func (f *FitError) noteObjects(instances []*Instance, v *verdicts) {
	for i, in := range instances {
		if refs := v.pre[i].objects; len(refs) > 0 && slices.ContainsFunc(f.texts, func(r ReasonCount) bool { return readsFor(in, r) }) {
			f.Objects = append(f.Objects, refs...)
		}
	}
}

// readsFor tells whether a text came from a member that reads objects.
func readsFor(in *Instance, r ReasonCount) bool {
	for k := range in.members {
		if m := &in.members[k]; m.Name == r.Plugin && len(m.Objects) > 0 {
			return true
		}
	}
	return false
}
