package source_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/node/source"
)

func pod(uid types.UID, configMap, secret string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid, Namespace: "ns", Generation: 1}}
	p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}}}}}
	p.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}}}}
	return p
}

func TestStore(t *testing.T) {
	ctx := t.Context()
	c := fake.NewSimpleClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns"}, Data: map[string]string{"k": "1"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "unheld", Namespace: "ns"}, Data: map[string]string{"k": "9"}})
	var mu sync.Mutex
	told := map[types.UID]int{}
	count := func(uid types.UID) int {
		mu.Lock()
		defer mu.Unlock()
		return told[uid]
	}
	s := source.New(c, func(uid types.UID) {
		mu.Lock()
		defer mu.Unlock()
		told[uid]++
	}, nil)
	s.Hold(pod("a", "cm", "sec")) // before it runs
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(run) }()
	s.Hold(pod("b", "cm", "other"))
	if m, err := s.ConfigMap("ns", "cm"); err != nil || m.Data["k"] != "1" {
		t.Fatalf("got %v %v", m, err)
	}
	if m, err := s.ConfigMap("ns", "unheld"); err != nil || m == nil || m.Data["k"] != "9" {
		t.Errorf("an object that nobody holds: got %v %v", m, err)
	}
	if m, err := s.Secret("ns", "sec"); err != nil || m != nil {
		t.Errorf("no secret: got %v %v", m, err)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what + ": did not happen")
			}
		}
	}
	if _, err := c.CoreV1().Secrets("ns").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sec", Namespace: "ns"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("a is told of the secret", func() bool { return count("a") == 1 })
	if count("b") != 0 {
		t.Error("b was told of a secret that it does not hold")
	}
	update := func(value string) {
		t.Helper()
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns", Labels: map[string]string{"x": value}}, Data: map[string]string{"k": value}}
		if _, err := c.CoreV1().ConfigMaps("ns").Update(ctx, m, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update("2")
	await("both are told", func() bool { return count("a") == 2 && count("b") == 1 })
	s.Release("a")
	update("3")
	await("b is told", func() bool { return count("b") == 2 })
	if count("a") != 2 {
		t.Error("a was told after it let go")
	}
	if err := c.CoreV1().ConfigMaps("ns").Delete(ctx, "cm", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("b is told that it is gone", func() bool { return count("b") == 3 })
	if m, err := s.ConfigMap("ns", "cm"); err != nil || m != nil {
		t.Errorf("deleted: got %v %v", m, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReadBeforeKnown: a pod that was told of nothing yet, because the API did
// not answer, is told once it does.
func TestReadBeforeKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fake.NewSimpleClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns"}, Data: map[string]string{"k": "1"}})
		var answers atomic.Bool
		c.PrependReactor("*", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			if answers.Load() {
				return false, nil, nil
			}
			return true, nil, errors.New("the API does not answer")
		})
		told := make(chan types.UID, 9)
		s := source.New(c, func(uid types.UID) { told <- uid }, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		s.Hold(pod("a", "cm", "sec"))
		if _, err := s.ConfigMap("ns", "cm"); err == nil {
			t.Error("read what the API does not give")
		}
		answers.Store(true)
		if got := <-told; got != "a" {
			t.Errorf("told %q", got)
		}
		if m, err := s.ConfigMap("ns", "cm"); err != nil || m.Data["k"] != "1" {
			t.Errorf("got %v %v", m, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
