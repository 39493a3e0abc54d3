package fairness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/flowcontrol/v1"
	clientv1 "k8s.io/client-go/kubernetes/typed/flowcontrol/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

// statusTimeout bounds one write of a condition.
const statusTimeout = 10 * time.Second

// client is what the library writes with: conditions of FlowSchemas, and nothing else.
type client struct {
	clientv1.FlowcontrolV1Interface
	writer *statusWriter
}

// FlowSchemas implements clientv1.FlowcontrolV1Interface.
func (c client) FlowSchemas() clientv1.FlowSchemaInterface { return c.writer }

// statusWriter applies the status of FlowSchemas while a Control runs.
type statusWriter struct {
	clientv1.FlowSchemaInterface
	registry Registry

	mu  sync.Mutex
	run context.Context // of Run: the library brings none; guarded by mu
}

func (s *statusWriter) begin(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = ctx
}

func (s *statusWriter) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// ApplyStatus implements clientv1.FlowSchemaInterface.
func (s *statusWriter) ApplyStatus(_ context.Context, a *applyv1.FlowSchemaApplyConfiguration, o metav1.ApplyOptions) (*flowcontrolv1.FlowSchema, error) {
	run := s.context()
	if run == nil || a == nil || a.ObjectMetaApplyConfiguration == nil || a.Name == nil {
		return nil, errors.New("nothing to apply, or nobody runs")
	}
	patch, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode the status of FlowSchema %s: %w", *a.Name, err)
	}
	ctx, cancel := context.WithTimeout(run, statusTimeout)
	defer cancel()
	r, err := s.registry.Patch(ctx, registry.Target{Resource: FlowSchemas, Name: *a.Name, Subresource: "status"}, types.ApplyPatchType, patch,
		registry.WriteOptions{FieldManager: o.FieldManager, Force: o.Force})
	if err != nil {
		return nil, err
	}
	is, ok := r.Object.Obj.(*flowcontrolv1.FlowSchema)
	if !ok {
		return nil, fmt.Errorf("FlowSchema %s is a %T", *a.Name, r.Object.Obj)
	}
	return is, nil
}
