package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

func slice(name string, ready ...types.UID) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	for _, uid := range ready {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{NodeName: ptr.To("n1"), TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: uid}})
	}
	s.Endpoints = append(s.Endpoints,
		discoveryv1.Endpoint{NodeName: ptr.To("n2"), TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: "elsewhere"}},
		discoveryv1.Endpoint{NodeName: ptr.To("n1"), Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: "unready"}})
	return s
}

// TestDrain plays what happens to the slices while a pod is drained, and
// checks how long that takes.
func TestDrain(t *testing.T) {
	for name, c := range map[string]struct {
		uid  types.UID
		then func(h cache.ResourceEventHandler) // after 100 ms
		took time.Duration
		err  error
	}{
		"in no slice":         {uid: "none"},
		"on another node":     {uid: "elsewhere"},
		"not ready anyway":    {uid: "unready"},
		"nobody drops it":     {uid: "a", took: time.Second, err: context.DeadlineExceeded},
		"both slices drop it": {uid: "a", then: func(h cache.ResourceEventHandler) { h.OnUpdate(nil, slice("one")); h.OnUpdate(nil, slice("two", "b")) }, took: 150 * time.Millisecond},
		"one slice drops it":  {uid: "a", then: func(h cache.ResourceEventHandler) { h.OnUpdate(nil, slice("one")) }, took: time.Second, err: context.DeadlineExceeded},
		"slices are deleted": {uid: "a", then: func(h cache.ResourceEventHandler) {
			h.OnDelete(slice("one"))
			h.OnDelete(cache.DeletedFinalStateUnknown{Obj: slice("two")})
		}, took: 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrainer("n1", nil, 50*time.Millisecond)
				h := d.handler()
				h.OnAdd(slice("one", "a"), true)
				h.OnAdd(slice("two", "a", "b"), true)
				if c.then != nil {
					time.AfterFunc(100*time.Millisecond, func() { c.then(h) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				p := &corev1.Pod{}
				p.UID = c.uid
				began := time.Now()
				err := d.drain(ctx, p)
				if got := time.Since(began); got != c.took || !errors.Is(err, c.err) {
					t.Errorf("got %v after %s, want %v after %s", err, got, c.err, c.took)
				}
				time.Sleep(time.Second)
			})
		})
	}
}
