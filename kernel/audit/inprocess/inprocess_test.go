package inprocess_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/audit/inprocess"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// quick answers at once, so that what remains is what recording costs.
type quick struct{ registry.Registry }

func (quick) As(user.Info) registry.Registry { return quick{} }

var found = &watch.Object{Obj: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}}

func (quick) Get(_ context.Context, _ registry.Target, _ metav1.GetOptions) (*watch.Object, error) {
	return found, nil
}

// counted takes events.
type counted struct{ n int }

func (c *counted) ProcessEvents(events ...*auditinternal.Event) bool {
	c.n += len(events)
	return true
}

func (c *counted) Close() error { return nil }

func verbs(t testing.TB, policy string, to *counted) registry.Registry {
	t.Helper()
	r := inprocess.Recorder{Encode: func(obj runtime.Object, _ schema.GroupVersion) ([]byte, error) { return json.Marshal(obj) }}
	if policy != "" {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(file, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: ["+policy+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if r.Auditor, err = audit.Open(audit.Config{Options: audit.Options{PolicyFile: file}, Backend: to}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Auditor.Close() })
	}
	return r.Of(quick{}).As(&user.DefaultInfo{Name: "system:kube-scheduler"})
}

var target = registry.Target{Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, Namespace: "a", Name: "m"}

// TestCost: without a policy nothing stands between; what it leaves out is not
// allocated for, beyond the attributes that it is asked about.
func TestCost(t *testing.T) {
	if _, ok := verbs(t, "", nil).(quick); !ok {
		t.Error("something stands between though nothing is recorded")
	}
	for policy, want := range map[string]int{"{level: None}": 0, "{level: Metadata}": 1, "{level: None, users: ['system:kube-scheduler']}, {level: Metadata}": 0} {
		var to counted
		reg := verbs(t, policy, &to)
		obj, err := reg.Get(t.Context(), target, metav1.GetOptions{})
		if obj != found || err != nil || to.n != want {
			t.Errorf("%s: %v, %v; %d events, want %d", policy, obj, err, to.n, want)
		}
		if want > 0 {
			continue
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = reg.Get(t.Context(), target, metav1.GetOptions{}) }); n > 3 {
			t.Errorf("%s: %v allocations", policy, n)
		}
	}
}

// BenchmarkGet is what a read in this process costs beside the reading itself.
func BenchmarkGet(b *testing.B) {
	for name, policy := range map[string]string{"no policy": "", "None": "{level: None}", "Metadata": "{level: Metadata}", "RequestResponse": "{level: RequestResponse}"} {
		b.Run(name, func(b *testing.B) {
			reg := verbs(b, policy, &counted{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reg.Get(b.Context(), target, metav1.GetOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
