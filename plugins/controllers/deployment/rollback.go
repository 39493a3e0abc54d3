package deployment

import (
	"fmt"
	"strconv"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// rollbackAnnotation asks for the template of an older revision, 0 for the one before
// the present: what is left in apps/v1 of the field rollbackTo.
const rollbackAnnotation = "deprecated.deployment.rollback.to"

// rollbackTo is the revision that a Deployment is to go back to; ok is false when it is
// not, or does not say it with a number.
func rollbackTo(d *appsv1.Deployment) (revision int64, ok bool) {
	revision, err := strconv.ParseInt(d.Annotations[rollbackAnnotation], 10, 64)
	return revision, err == nil
}

// undo is the Deployment without its request to go back, at the older template if that
// could be found, and what is said of it.
type undo struct {
	next *appsv1.Deployment
	note client.Note
}

// past are the sets of a Deployment, as they are after the round.
type past struct {
	d    *appsv1.Deployment
	sets []*appsv1.ReplicaSet
}

func pastOf(r *round) past {
	p := past{d: r.d}
	for _, rs := range allOf(r) {
		p.sets = append(p.sets, r.edits.view(rs))
	}
	return p
}

// undo decides on the Deployment's request to go back to a revision.
func (p past) undo(to int64) *undo {
	u := &undo{next: client.Clone(p.d)}
	delete(u.next.Annotations, rollbackAnnotation)
	if to == 0 {
		if to = p.lastRevision(); to == 0 {
			u.note = client.Note{Warning: true, Reason: "DeploymentRollbackRevisionNotFound", Message: "Unable to find last revision."}
			return u
		}
	}
	rs := p.ofRevision(to)
	switch {
	case rs == nil:
		u.note = client.Note{Warning: true, Reason: "DeploymentRollbackRevisionNotFound", Message: "Unable to find the revision to rollback to."}
	case sameTemplate(&rs.Spec.Template, &p.d.Spec.Template):
		u.note = client.Note{Warning: true, Reason: "DeploymentRollbackTemplateUnchanged",
			Message: fmt.Sprintf("The rollback revision contains the same template as current deployment %q", p.d.Name)}
	default:
		u.next.Spec.Template = *client.Clone(&rs.Spec.Template)
		delete(u.next.Spec.Template.Labels, hashLabel)
		u.next.Annotations = annotationsOf(u.next, rs)
		u.note = client.Note{Reason: "DeploymentRollback", Message: fmt.Sprintf("Rolled back deployment %q to revision %d", p.d.Name, to)}
	}
	return u
}

// annotationsOf are the annotations of a Deployment that goes back to a set: those that
// the set took over from it then, change-cause among them.
func annotationsOf(d *appsv1.Deployment, rs *appsv1.ReplicaSet) map[string]string {
	out := map[string]string{}
	for k, v := range d.Annotations {
		if !copied(k) {
			out[k] = v
		}
	}
	for k, v := range rs.Annotations {
		if copied(k) {
			out[k] = v
		}
	}
	return out
}

// lastRevision is the second highest; 0 when there is none.
func (p past) lastRevision() int64 {
	var most, second int64
	for _, rs := range p.sets {
		switch n := int64(revision(rs)); {
		case n >= most:
			most, second = n, most
		case n > second:
			second = n
		}
	}
	return second
}

func (p past) ofRevision(n int64) *appsv1.ReplicaSet {
	for _, rs := range p.sets {
		if int64(revision(rs)) == n {
			return rs
		}
	}
	return nil
}
