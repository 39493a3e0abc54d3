package podcertificatecleaner_test

import (
	"testing"
	"time"

	_ "github.com/pintle-io/pintle/plugins/controllers/podcertificatecleaner"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type request struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
}

func (*request) APIResource() string                 { return "certificates.k8s.io/v1/podcertificaterequests" }
func (r *request) GetObjectMeta() *metav1.ObjectMeta { return &r.Metadata }

// TestReconcile: a request goes a quarter of an hour after it was made, and is
// looked at again just then.
func TestReconcile(t *testing.T) {
	for _, tc := range []struct {
		name string
		age  time.Duration
		gone bool
	}{
		{"new", 0, false},
		{"not old enough", 14 * time.Minute, false},
		{"old", 16 * time.Minute, true},
		{"of another day", 24 * time.Hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &request{metav1.ObjectMeta{Namespace: "ns", Name: "req-x", UID: "u", CreationTimestamp: metav1.NewTime(time.Now().Add(-tc.age))}}
			s, err := sdktest.NewStore(r)
			if err != nil {
				t.Fatal(err)
			}
			p := sdktest.Open[*controller.Points](t, "pod-certificate-cleaner", "")
			res, err := p.Reconcile(s.Client(), controller.Request{Namespace: "ns", Name: "req-x"})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Client().Get(&request{}, "ns", "req-x"); client.IsNotFound(err) != tc.gone {
				t.Errorf("gone: %v, want %v", err, tc.gone)
			}
			if again := res.RequeueAfter; tc.gone && again != 0 || !tc.gone && (again <= 0 || again > 15*time.Minute-tc.age) {
				t.Errorf("looked at again after %s", again)
			}
			if _, err := p.Reconcile(s.Client(), controller.Request{Namespace: "ns", Name: "never"}); err != nil {
				t.Errorf("one that is gone: %v", err)
			}
		})
	}
}
