// Package replicaset keeps the number of pods that a ReplicaSet asks for. What it
// does, and decides, is in package replicas.
package replicaset

import (
	"time"

	"github.com/pintle-io/pintle/plugins/replicas"
	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "replicaset", New: func([]byte) (sdk.Points, error) {
		return replicas.Points(replicas.Kind{
			Resource: "apps/v1/replicasets", APIVersion: "apps/v1", Name: "ReplicaSet", CountsTerminating: true,
			Get: get, List: list, UpdateStatus: updateStatus,
		}), nil
	}})
}

func get(c client.Client, namespace, name string) (*replicas.Set, error) {
	rs := &appsv1.ReplicaSet{}
	if err := c.Get(rs, namespace, name); err != nil {
		return nil, err
	}
	return setOf(rs), nil
}

func list(c client.Client, o client.ListOptions) ([]*replicas.Set, error) {
	var all []*appsv1.ReplicaSet
	if err := c.List(&all, o); err != nil {
		return nil, err
	}
	out := make([]*replicas.Set, len(all))
	for i, rs := range all {
		out[i] = setOf(rs)
	}
	return out, nil
}

func setOf(rs *appsv1.ReplicaSet) *replicas.Set {
	s := &replicas.Set{ObjectMeta: rs.ObjectMeta, Replicas: 1, MinReady: time.Duration(rs.Spec.MinReadySeconds) * time.Second,
		Selector: rs.Spec.Selector, Template: &rs.Spec.Template, Status: rs.Status, Object: rs}
	if rs.Spec.Replicas != nil {
		s.Replicas = int(*rs.Spec.Replicas)
	}
	return s
}

func updateStatus(c client.Client, s *replicas.Set, status replicas.Status) error {
	rs := s.Object.(*appsv1.ReplicaSet)
	rs.Status = status
	return c.UpdateStatus(rs)
}
