package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

var watchCases = []Case{
	{Name: "watch/order", Stands: "Watchers should observe add, update, and delete watch notifications on configmaps", Run: watchOrder},
	{Name: "watch/resume", Stands: "Watchers should be able to restart watching from the last resource version observed by the previous watch", Run: watchResume},
	{Name: "watch/selection", Stands: "Watchers should observe an object deletion if it stops meeting the requirements of the selector", Run: watchSelection},
	{Name: "watch/initial-events", Stands: "API concepts: streaming lists; bookmarks", Run: watchInitial},
	{Name: "watch/same-order", Stands: "Watchers should receive events on concurrent watches in same order", Run: watchSameOrder},
	{Name: "watch/too-old", Stands: "API concepts: 410 Gone", Run: watchTooOld},
}

// ours leaves out what controllers put into every namespace.
func ours(o metav1.ListOptions) metav1.ListOptions {
	o.LabelSelector = "ours"
	return o
}

// make creates labelled ConfigMaps and returns the last.
func makeOurs(ctx context.Context, e *Env, names ...string) (o *corev1.ConfigMap, err error) {
	for _, name := range names {
		c := configMap(name)
		c.Labels = map[string]string{"ours": "yes"}
		if o, err = e.Client.CoreV1().ConfigMaps(e.Namespace).Create(ctx, c, create); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func watchOrder(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	l, err := c.List(ctx, list)
	if err != nil {
		return err
	}
	w, err := c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: l.ResourceVersion}))
	if err != nil {
		return err
	}
	defer w.Stop()
	one, err := c.Watch(ctx, metav1.ListOptions{ResourceVersion: l.ResourceVersion, FieldSelector: "metadata.name=b"})
	if err != nil {
		return err
	}
	defer one.Stop()
	if _, err := makeOurs(ctx, e, "a", "b"); err != nil {
		return err
	}
	a, err := c.Get(ctx, "a", get)
	if err != nil {
		return err
	}
	a.Data = map[string]string{"k": "1"}
	if _, err := c.Update(ctx, a, update); err != nil {
		return err
	}
	if err := c.Delete(ctx, "a", remove); err != nil {
		return err
	}
	if err := c.Delete(ctx, "b", remove); err != nil {
		return err
	}
	return errors.Join(events(ctx, w, "ADDED a", "ADDED b", "MODIFIED a", "DELETED a", "DELETED b"), events(ctx, one, "ADDED b", "DELETED b"))
}

func watchResume(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	first, err := makeOurs(ctx, e, "a")
	if err != nil {
		return err
	}
	if _, err := makeOurs(ctx, e, "b"); err != nil {
		return err
	}
	if err := c.Delete(ctx, "a", remove); err != nil {
		return err
	}
	w, err := c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: first.ResourceVersion}))
	if err != nil {
		return err
	}
	defer w.Stop()
	e1, ok := <-w.ResultChan()
	if !ok || describe(e1) != "ADDED b" {
		return fmt.Errorf("first event is %s, want ADDED b", describe(e1))
	}
	e2, ok := <-w.ResultChan()
	if !ok || describe(e2) != "DELETED a" {
		return fmt.Errorf("second event is %s, want DELETED a", describe(e2))
	}
	// A deletion is an event with a version of its own, later than the object's.
	gone, last := version(e2), version(e1)
	if gone <= last {
		return fmt.Errorf("the deletion has resourceVersion %d, the event before %d", gone, last)
	}
	again, err := c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: strconv.FormatUint(last, 10)}))
	if err != nil {
		return err
	}
	defer again.Stop()
	return events(ctx, again, "DELETED a")
}

// version is the resourceVersion as a number. Clients must not do this; the
// API promises since KEP-5504 that they may compare.
func version(e watch.Event) uint64 {
	o, ok := e.Object.(metav1.Object)
	if !ok {
		return 0
	}
	v, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

func watchSelection(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	o, err := makeOurs(ctx, e, "a")
	if err != nil {
		return err
	}
	w, err := c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: o.ResourceVersion}))
	if err != nil {
		return err
	}
	defer w.Stop()
	for i, labels := range []map[string]string{{"other": "yes"}, {"other": "no"}, {"ours": "again"}} {
		o.Labels, o.Data = labels, map[string]string{"step": strconv.Itoa(i)}
		if o, err = c.Update(ctx, o, update); err != nil {
			return err
		}
	}
	return events(ctx, w, "DELETED a", "ADDED a")
}

func watchInitial(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if _, err := makeOurs(ctx, e, "a", "b"); err != nil {
		return err
	}
	yes := true
	w, err := c.Watch(ctx, ours(metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}))
	if err != nil {
		return err
	}
	defer w.Stop()
	if err := events(ctx, w, "ADDED a", "ADDED b"); err != nil {
		return err
	}
	var mark watch.Event
	select {
	case mark = <-w.ResultChan():
	case <-ctx.Done():
		return errors.New("no bookmark after the initial events")
	}
	o, ok := mark.Object.(*corev1.ConfigMap)
	if mark.Type != watch.Bookmark || !ok || o.Annotations[metav1.InitialEventsAnnotationKey] != "true" || o.ResourceVersion == "" {
		return fmt.Errorf("after the initial events comes %s, want a bookmark with a version and the annotation %s", describe(mark), metav1.InitialEventsAnnotationKey)
	}
	if _, err := makeOurs(ctx, e, "c"); err != nil {
		return err
	}
	_, lone := c.Watch(ctx, metav1.ListOptions{SendInitialEvents: &yes})
	return errors.Join(events(ctx, w, "ADDED c"), invalid("sendInitialEvents without resourceVersionMatch", lone))
}

func watchSameOrder(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	l, err := c.List(ctx, list)
	if err != nil {
		return err
	}
	watches := make([]watch.Interface, 8)
	for i := range watches {
		if watches[i], err = c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: l.ResourceVersion})); err != nil {
			return err
		}
		defer watches[i].Stop()
	}
	const n = 20
	made := make(chan error, n)
	for i := range n {
		go func() {
			_, err := makeOurs(ctx, e, fmt.Sprint("o", i))
			made <- err
		}()
	}
	for range n {
		if err := <-made; err != nil {
			return err
		}
	}
	var order []string
	for k, w := range watches {
		for i := range n {
			var got watch.Event
			select {
			case got = <-w.ResultChan():
			case <-ctx.Done():
				return fmt.Errorf("watch %d has no event %d", k, i)
			}
			if k == 0 {
				order = append(order, describe(got))
			} else if describe(got) != order[i] {
				return fmt.Errorf("event %d of watch %d is %s, of watch 0 it is %s", i, k, describe(got), order[i])
			}
		}
	}
	return nil
}

// watchTooOld: version 1 is older than anything. A server that still has all
// history may tell it; one that has not must say 410 Gone.
func watchTooOld(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if _, err := makeOurs(ctx, e, "a"); err != nil {
		return err
	}
	w, err := c.Watch(ctx, ours(metav1.ListOptions{ResourceVersion: "1"}))
	if err == nil {
		defer w.Stop()
		select {
		case got := <-w.ResultChan():
			if got.Type != watch.Error {
				return same("first event of all history", describe(got), "ADDED a")
			}
			err = apierrors.FromObject(got.Object)
		case <-ctx.Done():
			return errors.New("a watch from version 1 tells neither history nor that it is gone")
		}
	}
	tooOld := refused("a watch from version 1", err, http.StatusGone, metav1.StatusReasonExpired)
	_, err = c.List(ctx, metav1.ListOptions{Limit: 1, Continue: "bm90IGEgdG9rZW4"})
	return errors.Join(tooOld, refused("a continue token that is none", err, http.StatusBadRequest, metav1.StatusReasonBadRequest))
}
