package storageversionmigrator

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	migrationv1 "github.com/pintle-io/pintle/sdk/api/storagemigration/v1"
)

type migration = migrationv1.StorageVersionMigration

// Reasons of conditions.
const (
	reasonRunning   = "MigrationRunning"
	reasonCompleted = "MigrationCompleted"
	reasonSucceeded = "StorageVersionMigrationSucceeded"
	reasonFailed    = "StorageVersionMigrationFailed"
)

// plan is what is to be done with the migrations of one resource, of which one runs at a
// time.
type plan struct {
	over    []*migration // have ended, and say still that they run
	next    *migration   // is to run, if none does
	running *migration
}

// decide makes the plan: the oldest that waits is the next.
func decide(all []*migration) plan {
	var p plan
	for _, m := range all {
		switch running := holds(m, migrationv1.MigrationRunning); {
		case running && ended(m):
			p.over = append(p.over, m)
		case running:
			p.running = m
		case !ended(m) && (p.next == nil || older(m, p.next) < 0):
			p.next = m
		}
	}
	if p.running != nil {
		p.next = nil
	}
	return p
}

func older(a, b *migration) int {
	return cmp.Or(a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), strings.Compare(a.Name, b.Name))
}

func ended(m *migration) bool {
	return holds(m, migrationv1.MigrationSucceeded) || holds(m, migrationv1.MigrationFailed)
}

func holds(m *migration, t migrationv1.MigrationConditionType) bool {
	for i := range m.Status.Conditions {
		if c := &m.Status.Conditions[i]; c.Type == string(t) {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// set sets a condition; the time is that of the last change of its status.
func set(list []metav1.Condition, c metav1.Condition, now time.Time) []metav1.Condition {
	c.LastTransitionTime = metav1.NewTime(now)
	for i := range list {
		if is := &list[i]; is.Type == c.Type {
			if is.Status == c.Status {
				c.LastTransitionTime = is.LastTransitionTime
			}
			*is = c
			return list
		}
	}
	return append(list, c)
}

func condition(t migrationv1.MigrationConditionType, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: string(t), Status: status, Reason: reason, Message: message}
}

// progress is the message of a migration that runs.
func progress(left, total int, err error) string {
	text := "The migration is running"
	switch {
	case total > 0 && left > 0:
		text += fmt.Sprintf(", %d/%d objects not yet migrated", left, total)
	case total > 0:
		text += fmt.Sprintf(", %d objects verified migrated", total)
	}
	if err != nil {
		text += "; transient error: " + err.Error()
	}
	return text
}

// place is where an object stands in a list, which is in order of namespace/name as one
// text: "team-dev/a" comes before "team/a".
type place struct{ namespace, name string }

func (p place) compare(q place) int {
	return strings.Compare(p.namespace+"/"+p.name, q.namespace+"/"+q.name)
}

// left are the objects that are still to be migrated: those behind the place that has been
// reached that were written last before the migration began, at revision since.
//
// # Errors
//   - a resourceVersion is no number
func left(all []*object, reached place, since string) ([]*object, error) {
	limit, err := strconv.ParseUint(since, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("status.resourceVersion %q: %w", since, err)
	}
	var out []*object
	for _, o := range all {
		rev, err := strconv.ParseUint(o.Metadata.ResourceVersion, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("resourceVersion of %s/%s: %w", o.Metadata.Namespace, o.Metadata.Name, err)
		}
		if rev <= limit && o.place().compare(reached) > 0 {
			out = append(out, o)
		}
	}
	return out, nil
}
