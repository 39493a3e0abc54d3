package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/node/source"
)

func trusting(uid types.UID, names, signers []string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid, Namespace: "ns", Generation: 1}}
	v := &corev1.ProjectedVolumeSource{}
	for i := range names {
		v.Sources = append(v.Sources, corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: &names[i]}})
	}
	for i := range signers {
		v.Sources = append(v.Sources, corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{SignerName: &signers[i]}})
	}
	p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: v}}}
	return p
}

func trustBundle(name, signer, text string) *certificatesv1.ClusterTrustBundle {
	return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: text}}
}

// TestBundles: a node follows bundles while a pod needs one, by one watch, and
// tells the pods that a change concerns.
func TestBundles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fake.NewSimpleClientset(trustBundle("plain", "", "1"), trustBundle("s.a", "s", "2"), trustBundle("s.b", "s", "3"), trustBundle("other", "o", "4"))
		lists := func() (n int) {
			for _, a := range c.Actions() {
				if a.Matches("list", "clustertrustbundles") {
					n++
				}
			}
			return n
		}
		var told []types.UID
		heard := func() []types.UID { // nobody tells when all are idle
			synctest.Wait()
			slices.Sort(told)
			defer func() { told = nil }()
			return told
		}
		tell := make(chan types.UID)
		go func() {
			for uid := range tell {
				told = append(told, uid)
			}
		}()
		s := source.New(c, func(uid types.UID) { tell <- uid }, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		s.Hold(pod("idle", "cm", "sec"))
		synctest.Wait()
		if n := lists(); n != 0 {
			t.Errorf("%d lists of bundles before a pod needs one", n)
		}
		if _, err := s.Bundle("plain"); err == nil {
			t.Error("a bundle that nobody follows is known")
		}

		s.Hold(trusting("named", []string{"plain"}, nil))
		s.Hold(trusting("signed", nil, []string{"s"}))
		s.Hold(trusting("both", []string{"plain"}, []string{"s", "none"}))
		if b, err := s.Bundle("plain"); err != nil || b == nil || b.Spec.TrustBundle != "1" {
			t.Errorf("got %v %v", b, err)
		}
		if b, err := s.Bundle("absent"); err != nil || b != nil {
			t.Errorf("one that is not there: got %v %v", b, err)
		}
		for signer, want := range map[string]string{"s": "[2 3]", "o": "[4]", "none": "[]"} {
			list, err := s.BundlesOf(signer)
			var got []string
			for _, b := range list {
				got = append(got, b.Spec.TrustBundle)
			}
			if slices.Sort(got); err != nil || fmt.Sprint(got) != want {
				t.Errorf("of signer %s: got %v %v, want %s", signer, got, err, want)
			}
		}
		if n := lists(); n != 1 {
			t.Errorf("%d lists of bundles, want 1 for all pods", n)
		}

		api := c.CertificatesV1().ClusterTrustBundles()
		for _, step := range []struct {
			name string
			do   func() error
			want string
		}{
			{"one by name", func() error {
				_, err := api.Update(ctx, trustBundle("plain", "", "5"), metav1.UpdateOptions{})
				return err
			}, "[both named]"},
			{"the same again", func() error {
				b := trustBundle("plain", "", "5")
				b.Annotations = map[string]string{"note": "new"}
				_, err := api.Update(ctx, b, metav1.UpdateOptions{})
				return err
			}, "[]"},
			{"labels decide which are chosen", func() error {
				b := trustBundle("s.a", "s", "2")
				b.Labels = map[string]string{"alive": "yes"}
				_, err := api.Update(ctx, b, metav1.UpdateOptions{})
				return err
			}, "[both signed]"},
			{"one more of the signer", func() error {
				_, err := api.Create(ctx, trustBundle("s.c", "s", "6"), metav1.CreateOptions{})
				return err
			}, "[both signed]"},
			{"one that nobody chose", func() error {
				_, err := api.Update(ctx, trustBundle("other", "o", "7"), metav1.UpdateOptions{})
				return err
			}, "[]"},
			{"one is deleted", func() error { return api.Delete(ctx, "plain", metav1.DeleteOptions{}) }, "[both named]"},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(heard()); got != step.want {
				t.Errorf("%s: told %s, want %s", step.name, got, step.want)
			}
		}

		for _, uid := range []types.UID{"named", "signed", "both"} {
			s.Release(uid)
		}
		if _, err := s.BundlesOf("s"); err == nil {
			t.Error("bundles are followed after the last pod let go")
		}
		s.Hold(trusting("later", nil, []string{"s"}))
		if list, err := s.BundlesOf("s"); err != nil || len(list) != 3 {
			t.Errorf("followed anew: got %v %v", list, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		close(tell)
	})
}

// TestBundlesBeforeKnown: a pod that could not wait for the API's answer is told
// of it; the message meanwhile is upstream's.
func TestBundlesBeforeKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fake.NewSimpleClientset(trustBundle("plain", "", "1"))
		var answers atomic.Bool
		c.PrependReactor("*", "clustertrustbundles", func(clienttesting.Action) (bool, runtime.Object, error) {
			if answers.Load() {
				return false, nil, nil
			}
			return true, nil, errors.New("the API does not answer")
		})
		told := make(chan types.UID, 9)
		s := source.New(c, func(uid types.UID) { told <- uid }, nil)
		s.Hold(trusting("a", []string{"plain"}, nil)) // before it runs
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if _, err := s.Bundle("plain"); err == nil || err.Error() != "ClusterTrustBundle informer has not yet synced" {
			t.Errorf("got %v", err)
		}
		answers.Store(true)
		if got := <-told; got != "a" {
			t.Errorf("told %q", got)
		}
		if b, err := s.Bundle("plain"); err != nil || b == nil {
			t.Errorf("got %v %v", b, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
