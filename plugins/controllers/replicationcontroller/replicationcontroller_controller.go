// Package replicationcontroller keeps the number of pods that a
// ReplicationController asks for, as that of a ReplicaSet is kept: what it does,
// and decides, is in package replicas.
package replicationcontroller

import (
	"github.com/pintle-io/pintle/plugins/replicas"
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "replicationcontroller", New: func([]byte) (sdk.Points, error) {
		return replicas.Points(replicas.Kind{
			Resource: "v1/replicationcontrollers", APIVersion: "v1", Name: "ReplicationController",
			Get: get, List: list, UpdateStatus: updateStatus,
		}), nil
	}})
}

func get(c client.Client, namespace, name string) (*replicas.Set, error) {
	rc := &corev1.ReplicationController{}
	if err := c.Get(rc, namespace, name); err != nil {
		return nil, err
	}
	return setOf(rc), nil
}

func list(c client.Client, o client.ListOptions) ([]*replicas.Set, error) {
	var all []*corev1.ReplicationController
	if err := c.List(&all, o); err != nil {
		return nil, err
	}
	out := make([]*replicas.Set, len(all))
	for i, rc := range all {
		out[i] = setOf(rc)
	}
	return out, nil
}

func updateStatus(c client.Client, s *replicas.Set, status replicas.Status) error {
	rc := s.Object.(*corev1.ReplicationController)
	rc.Status = statusOf(status)
	return c.UpdateStatus(rc)
}
