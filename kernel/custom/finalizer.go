package custom

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// end begins to clear away the objects of a definition, unless that is under way.
func (x *Controller) end(ctx context.Context, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ending[name] {
		return
	}
	x.ending[name] = true
	x.ends.Go(func() {
		select {
		case x.room <- struct{}{}:
			x.finalize(ctx, name)
			<-x.room
		case <-ctx.Done():
		}
		select {
		case x.ended <- name:
		case <-ctx.Done():
		}
	})
}

// forgetEnd is told that objects have been cleared away, or that there was nothing
// to do. A definition that was marked again meanwhile, which is another one of the same name,
// is begun anew.
func (x *Controller) forgetEnd(ctx context.Context, name string) {
	x.mu.Lock()
	delete(x.ending, name)
	x.mu.Unlock()
	k := x.known[name]
	if k == nil {
		return
	}
	crd, err := decode(x.c.Codec, k.object)
	if err == nil && crd.DeletionTimestamp != nil && apihelpers.CRDHasFinalizer(crd, apiextensionsv1.CustomResourceCleanupFinalizer) {
		x.end(ctx, name)
	}
}

// finalize deletes the objects of a definition that is marked for deletion, and
// lets go of it when there are none.
func (x *Controller) finalize(ctx context.Context, name string) {
	retry := backoff.New(firstRetry, maxRetry)
	for ctx.Err() == nil {
		err := x.finalizeOnce(ctx, name)
		if err == nil {
			retry.Succeeded(x.c.Log)
			return
		}
		var pause time.Duration
		if apierrors.IsConflict(err) {
			pause = retry.Again() // somebody else has written it
		} else {
			pause = retry.Failed(x.c.Log, "the objects of a CustomResourceDefinition are not deleted", err, "name", name)
		}
		select {
		case <-x.c.Clock.After(pause):
		case <-ctx.Done():
		}
	}
}

func (x *Controller) finalizeOnce(ctx context.Context, name string) error {
	crd, err := x.get(ctx, name)
	if err != nil || crd == nil {
		return err
	}
	if crd, err = x.terminating(ctx, crd, apiextensionsv1.ConditionTrue, "InstanceDeletionInProgress", "CustomResource deletion is in progress"); err != nil {
		return ignoreGone(err)
	}
	reason, message := "NeverEstablished", "resource was never established"
	if Served(crd) {
		reason, message = "InstanceDeletionCompleted", "removed all instances"
		if err := x.deleteObjects(ctx, crd); err != nil {
			_, statusErr := x.terminating(ctx, crd, apiextensionsv1.ConditionTrue, "InstanceDeletionFailed", fmt.Sprintf("could not issue all deletes: %v", err))
			return errors.Join(err, ignoreGone(statusErr))
		}
		// Meanwhile the definition may have been written.
		if crd, err = x.get(ctx, name); err != nil || crd == nil {
			return err
		}
	}
	apihelpers.CRDRemoveFinalizer(crd, apiextensionsv1.CustomResourceCleanupFinalizer)
	_, err = x.terminating(ctx, crd, apiextensionsv1.ConditionFalse, reason, message)
	return ignoreGone(err)
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// get reads a definition that is to be finalized; nil when there is nothing to do.
func (x *Controller) get(ctx context.Context, name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	o, err := x.c.Registry.Get(ctx, registry.Target{Resource: Definitions, Name: name}, metav1.GetOptions{})
	if err != nil {
		return nil, ignoreGone(err)
	}
	crd, err := decode(x.c.Codec, o)
	if err != nil || crd.DeletionTimestamp == nil || !apihelpers.CRDHasFinalizer(crd, apiextensionsv1.CustomResourceCleanupFinalizer) {
		return nil, err
	}
	return crd.DeepCopy(), nil
}

// terminating writes the condition, and the finalizers with it.
func (x *Controller) terminating(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, status apiextensionsv1.ConditionStatus, reason, message string) (*apiextensionsv1.CustomResourceDefinition, error) {
	apihelpers.SetCRDCondition(crd, apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.Terminating, Status: status, Reason: reason, Message: message})
	u := x.update(crd)
	res, err := x.c.Registry.Update(ctx, u.Target, u.Object, u.Options)
	if err != nil || res.Object == nil {
		return crd, err
	}
	out, err := decode(x.c.Codec, res.Object)
	if err != nil {
		return nil, err
	}
	return out.DeepCopy(), nil
}

// deleteObjects deletes all objects and waits until those that others hold are
// gone.
func (x *Controller) deleteObjects(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	version := ""
	for i := range crd.Spec.Versions {
		if crd.Spec.Versions[i].Storage {
			version = crd.Spec.Versions[i].Name
		}
	}
	t := registry.Target{Resource: Definitions.GroupVersion().WithResource(crd.Status.AcceptedNames.Plural)}
	t.Resource.Group, t.Resource.Version = crd.Spec.Group, version
	for {
		l, err := x.c.Registry.List(ctx, t, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return nil // it is not served: a built-in kind has its place
		}
		if err != nil {
			return err
		}
		if len(l.Items) == 0 {
			return nil
		}
		seen := map[string]bool{}
		for _, o := range l.Items {
			if seen[o.Namespace] {
				continue
			}
			seen[o.Namespace] = true
			t := t
			t.Namespace = o.Namespace
			if _, err := x.c.Registry.DeleteCollection(ctx, t, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		if err := x.awaitDeletion(ctx, t, l.Revision); err != nil {
			return err
		}
	}
}

// awaitDeletion waits until an object has gone since a revision.
func (x *Controller) awaitDeletion(ctx context.Context, t registry.Target, since int64) error {
	w, err := x.c.Registry.Watch(ctx, t, metav1.ListOptions{ResourceVersion: strconv.FormatInt(since, 10)})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case e, ok := <-w.Events():
			if !ok {
				return w.Err()
			}
			if e.Type == watch.Deleted {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
