package deletion_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry/deletion"
	"github.com/pintle-io/pintle/kernel/resource"
)

var now = metav1.NewTime(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))

func ptr[T any](v T) *T { return &v }

// graceful is a kind whose objects have 30 seconds, plain one without grace, and
// held one that keeps its objects.
var (
	graceful = &resource.Definition{Kind: "Pod", Strategy: resource.Strategy{GracePeriod: func(_ runtime.Object, o *metav1.DeleteOptions) (int64, bool) {
		if o.GracePeriodSeconds != nil {
			return *o.GracePeriodSeconds, true
		}
		return 30, true
	}}}
	plain = &resource.Definition{Kind: "ConfigMap"}
	held  = &resource.Definition{Kind: "Namespace", Strategy: resource.Strategy{Held: func(runtime.Object) bool { return true }}}
)

func object(finalizers ...string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "u", ResourceVersion: "7", Generation: 1, Finalizers: finalizers}}
}

// marked is an object that goes in so many seconds from now on, of a grace of 30.
func marked(left int, finalizers ...string) *corev1.ConfigMap {
	o := object(finalizers...)
	o.DeletionTimestamp, o.DeletionGracePeriodSeconds = ptr(metav1.NewTime(now.Add(time.Duration(left)*time.Second))), ptr(int64(30))
	return o
}

func TestDecide(t *testing.T) {
	for name, tc := range map[string]struct {
		kind    *resource.Definition
		obj     *corev1.ConfigMap
		o       metav1.DeleteOptions
		want    deletion.Verdict
		in      int   // seconds until the deletion timestamp
		grace   int64 // of the object, -1 none
		pending []string
	}{
		"nothing holds it":                   {plain, object(), metav1.DeleteOptions{}, deletion.Gone, 0, -1, nil},
		"a finalizer":                        {plain, object("f"), metav1.DeleteOptions{}, deletion.Marked, 0, 0, []string{"f"}},
		"in the foreground":                  {plain, object(), metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationForeground)}, deletion.Marked, 0, 0, []string{"foregroundDeletion"}},
		"orphans":                            {plain, object("foregroundDeletion"), metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationOrphan)}, deletion.Marked, 0, 0, []string{"orphan"}},
		"in the background, whatever it has": {plain, object("orphan"), metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationBackground)}, deletion.Gone, 0, -1, nil},
		"orphans, in the old words":          {plain, object(), metav1.DeleteOptions{OrphanDependents: ptr(true)}, deletion.Marked, 0, 0, []string{"orphan"}},
		"its kind holds it":                  {held, object(), metav1.DeleteOptions{}, deletion.Marked, 0, -1, nil},
		"grace":                              {graceful, object(), metav1.DeleteOptions{}, deletion.Marked, 30, 30, nil},
		"a shorter grace":                    {graceful, object(), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(5))}, deletion.Marked, 5, 5, nil},
		"less than none is one second":       {graceful, object(), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(-3))}, deletion.Marked, 1, 1, nil},
		"no grace":                           {graceful, object(), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, deletion.Gone, 0, 0, nil},
		"no grace, a finalizer":              {graceful, object("f"), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, deletion.Marked, 0, 0, []string{"f"}},
		"again":                              {graceful, marked(20), metav1.DeleteOptions{}, deletion.Pending, 20, 30, nil},
		"again, not shorter":                 {graceful, marked(20), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(60))}, deletion.Pending, 20, 30, nil},
		"again, shorter":                     {graceful, marked(20), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(15))}, deletion.Marked, 5, 15, nil},
		"again, shorter than what has gone":  {graceful, marked(10), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(5))}, deletion.Marked, 0, 1, nil},
		"again, at once":                     {graceful, marked(20), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, deletion.Gone, 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first := tc.obj.DeletionTimestamp == nil
			got, gotFirst, err := deletion.Decide(tc.kind, tc.obj, &tc.o, now)
			if err != nil || got != tc.want || gotFirst != first {
				t.Fatalf("verdict %d, first %v, %v; want %d, %v", got, gotFirst, err, tc.want, first)
			}
			if got == deletion.Gone {
				return
			}
			grace := int64(-1)
			if tc.obj.DeletionGracePeriodSeconds != nil {
				grace = *tc.obj.DeletionGracePeriodSeconds
			}
			at := now.Add(time.Duration(tc.in) * time.Second)
			if !tc.obj.DeletionTimestamp.Time.Equal(at) || grace != tc.grace || !slices.Equal(tc.obj.Finalizers, tc.pending) {
				t.Errorf("at %v, grace %d, finalizers %q; want %v, %d, %q", tc.obj.DeletionTimestamp, grace, tc.obj.Finalizers, at, tc.grace, tc.pending)
			}
		})
	}
}

// An object may go when it was marked before, its grace is over, and its finalizers
// and its kind let go.
func TestFinished(t *testing.T) {
	over := marked(0)
	over.DeletionGracePeriodSeconds = ptr(int64(0))
	for name, tc := range map[string]struct {
		kind     *resource.Definition
		obj, old *corev1.ConfigMap
		want     bool
	}{
		"all over":       {plain, object(), over, true},
		"not marked":     {plain, object(), object(), false},
		"in its grace":   {plain, object(), marked(3), false},
		"a finalizer":    {plain, object("f"), over, false},
		"held by a kind": {held, object(), over, false},
	} {
		if got := deletion.Finished(tc.kind, tc.obj, tc.old); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPreconditions(t *testing.T) {
	for _, tc := range []struct {
		p  *metav1.Preconditions
		ok bool
	}{
		{nil, true},
		{&metav1.Preconditions{UID: ptr(types.UID("u")), ResourceVersion: ptr("7")}, true},
		{&metav1.Preconditions{UID: ptr(types.UID("v"))}, false},
		{&metav1.Preconditions{ResourceVersion: ptr("6")}, false},
	} {
		if err := deletion.Preconditions(plain, object(), tc.p); (err == nil) != tc.ok || err != nil && !apierrors.IsConflict(err) {
			t.Errorf("%+v: %v", tc.p, err)
		}
	}
}
