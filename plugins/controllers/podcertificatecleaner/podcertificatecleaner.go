// Package podcertificatecleaner deletes PodCertificateRequests a quarter of an
// hour after they were made, answered or not: node agents read an answer at once
// and ask anew when none came (KEP-4317).
package podcertificatecleaner

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const requests = "certificates.k8s.io/v1/podcertificaterequests"

// kept is how long a request is kept; upstream's.
const kept = 15 * time.Minute

func init() {
	sdk.Register(sdk.Plugin{Name: "pod-certificate-cleaner", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: []controller.Watch{{Resource: requests}}, Implements: []string{}, Reconcile: reconcile}, nil
	}})
}

// request is what counts of a PodCertificateRequest.
type request struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object.
func (*request) APIResource() string { return requests }

// GetObjectMeta implements metav1.Accessor.
func (r *request) GetObjectMeta() *metav1.ObjectMeta { return &r.Metadata }

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	r := &request{}
	if err := c.Get(r, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	m := &r.Metadata
	if m.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	made := m.CreationTimestamp.Time()
	if made.IsZero() {
		return controller.Result{}, fmt.Errorf("%s/%s: creationTimestamp %q is no time", req.Namespace, req.Name, m.CreationTimestamp)
	}
	if left := made.Add(kept).Sub(c.Now()); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	err := c.Delete(r, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(m.UID)})
	if client.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}
