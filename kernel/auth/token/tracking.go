package token

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
)

// Of the ConfigMap, in kube-system, that says since when the use of tokens of Secrets is
// noted: before a year has passed, nobody knows that one has not been used for a year.
// Names and form are upstream's.
const (
	trackingName  = "kube-apiserver-legacy-service-account-token-tracking"
	trackingSince = "since"
)

var (
	secretsV1    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMapsV1 = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// Tracking notes, at Secrets, when the tokens that they hold are used.
type Tracking struct {
	Registry registry.Registry // the server's own
	Manager  string            // field manager
	Clock    clock.PassiveClock
	Log      *slog.Logger
}

// NoteUse is Config.NoteUse. What cannot be noted is noted at the next use.
func (x *Tracking) NoteUse(ctx context.Context, s *corev1.Secret, day string) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": s.UID, "labels": map[string]string{LastUsedLabel: day}}})
	if err == nil {
		t := registry.Target{Resource: secretsV1, Namespace: s.Namespace, Name: s.Name}
		_, err = x.Registry.Patch(ctx, t, types.MergePatchType, patch, registry.WriteOptions{FieldManager: x.Manager})
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		x.Log.Info("the use of a service account's token is not noted at its Secret", "secret", s.Namespace+"/"+s.Name, "error", err)
	}
}

// Ensure makes the ConfigMap, and says today in one that says nothing; read says how what
// there is may be read.
func (x *Tracking) Ensure(ctx context.Context, read metav1.GetOptions) error {
	today := x.Clock.Now().UTC().Format(dateFormat)
	t := registry.Target{Resource: configMapsV1, Namespace: metav1.NamespaceSystem, Name: trackingName}
	o := registry.WriteOptions{FieldManager: x.Manager}
	got, err := x.Registry.Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name}, Data: map[string]string{trackingSince: today}}
		t.Name = ""
		if _, err := x.Registry.Create(ctx, t, made, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("configmap %s: %w", trackingName, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	is, ok := got.Obj.(*corev1.ConfigMap)
	if !ok {
		return nil
	}
	if _, err := time.Parse(dateFormat, is.Data[trackingSince]); err == nil {
		return nil
	}
	next := is.DeepCopy()
	if next.Data = maps.Clone(is.Data); next.Data == nil {
		next.Data = map[string]string{}
	}
	next.Data[trackingSince] = today
	if _, err := x.Registry.Update(ctx, t, next, o); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("configmap %s: %w", trackingName, err)
	}
	return nil
}
