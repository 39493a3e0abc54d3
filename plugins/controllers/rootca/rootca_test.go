package rootca

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// What the ConfigMap holds is put right in each namespace, and no more is written than
// that takes.
func TestPublish(t *testing.T) {
	type m = map[string]string
	for _, tc := range []struct {
		name        string
		have        *corev1.ConfigMap
		annotations m
		written     bool
	}{
		{"none", nil, m{describes: description}, true},
		{"another certificate", &corev1.ConfigMap{Data: m{key: "old"}}, m{describes: description}, true},
		{"more than the certificate", &corev1.ConfigMap{Data: m{key: "the CA", "more": "x"}}, m{describes: description}, true},
		{"no description", &corev1.ConfigMap{Data: m{key: "the CA"}}, m{describes: description}, true},
		{"a description of its own", &corev1.ConfigMap{Data: m{key: "the CA"}}, m{describes: "ours", "mine": "yes"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := &corev1.Namespace{}
			ns.Name = "team"
			s, err := sdktest.NewStore(ns)
			if err != nil {
				t.Fatal(err)
			}
			c := s.Client()
			if tc.have != nil {
				tc.have.Namespace, tc.have.Name = "team", name
				if !tc.written {
					tc.have.Annotations = tc.annotations
				}
				if err := c.Create(tc.have); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := publisher("the CA").reconcile(c, controller.Request{Name: "team"}); err != nil {
				t.Fatal(err)
			}
			got := &corev1.ConfigMap{}
			if err := c.Get(got, "team", name); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]m{{key: "the CA"}, tc.annotations}, []m{got.Data, got.Annotations}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if tc.have != nil && (got.ResourceVersion != tc.have.ResourceVersion) != tc.written {
				t.Errorf("version %s after %s, written: want %v", got.ResourceVersion, tc.have.ResourceVersion, tc.written)
			}
		})
	}
}
