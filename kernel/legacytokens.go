package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/registry"
)

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// noteTokenUse labels a Secret with the day on which its token was used last.
func noteTokenUse(k *Kernel) func(context.Context, *corev1.Secret, string) {
	return func(ctx context.Context, s *corev1.Secret, day string) {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": s.UID, "labels": map[string]string{token.LastUsedLabel: day}}})
		if err == nil {
			t := registry.Target{Resource: secrets, Namespace: s.Namespace, Name: s.Name}
			_, err = ownWrites{k.access.As(auth.APIServer)}.Patch(ctx, t, types.MergePatchType, patch, registry.WriteOptions{FieldManager: fieldManager})
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			k.c.Log.Info("the use of a service account's token is not noted at its Secret", "secret", s.Namespace+"/"+s.Name, "err", err)
		}
	}
}

// Of the ConfigMap that says since when the use of tokens of Secrets is noted: before a
// year has passed, nobody knows that one has not been used for a year. Names and form are
// upstream's.
const (
	trackingName  = "kube-apiserver-legacy-service-account-token-tracking"
	trackingSince = "since"
)

// ensureTracking makes that ConfigMap, and says today in one that says nothing; read says
// how what there is may be read.
func (f *firstObjects) ensureTracking(ctx context.Context, read metav1.GetOptions) error {
	if f.kinds.Lookup(configMaps.GroupResource()) == nil {
		return nil
	}
	today := f.clock.Now().UTC().Format(time.DateOnly)
	want := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: trackingName}, Data: map[string]string{trackingSince: today}}
	if err := f.own.ensure(ctx, configMaps, want, read); err != nil {
		return err
	}
	t := registry.Target{Resource: configMaps, Namespace: want.Namespace, Name: want.Name}
	o, err := f.own.Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		return nil // the cache does not know it yet, or somebody deletes it: the next time
	}
	if err != nil {
		return err
	}
	is, ok := o.Obj.(*corev1.ConfigMap)
	if !ok {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, is.Data[trackingSince]); err == nil {
		return nil
	}
	next := is.DeepCopy()
	next.Data = maps.Clone(is.Data)
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	next.Data[trackingSince] = today
	if _, err := f.own.Update(ctx, t, next, registry.WriteOptions{FieldManager: fieldManager}); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("configmap %s: %w", want.Name, err)
	}
	return nil
}
