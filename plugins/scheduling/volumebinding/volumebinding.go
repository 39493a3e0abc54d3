// Package volumebinding is the scheduling plugin for the PersistentVolumeClaims of a
// pod. It refuses nodes that the pod's volumes cannot be used on; for claims whose
// class has the binding mode WaitForFirstConsumer it finds a volume, or a node on
// which one can be made, and has them bound before the pod is.
//
// What is decided is upstream's: pkg/scheduler/framework/plugins/volumebinding and
// k8s.io/component-helpers/storage/volume.
//
//   - claims.go: which claims a pod has, and in what state
//   - match.go: which volume fits a claim on a node, which node takes a new one; pure
//   - filter.go: both, for all nodes at once
//   - bind.go: what is written when the node is chosen, and what is waited for
package volumebinding

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// Name of the plugin in profiles and messages.
const Name = "VolumeBinding"

func init() {
	sdk.Register(sdk.Plugin{Name: "volumebinding", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// Config of the plugin; the names are those of upstream's VolumeBindingArgs.
type Config struct {
	// BindTimeoutSeconds is how long a pod waits for its claims to be bound; 0 is 600.
	BindTimeoutSeconds int64 `json:"bindTimeoutSeconds"`
}

// The default, and the longest that the scheduler lets a pod wait.
const (
	defaultTimeout = 600
	maxTimeout     = 3600
)

// New makes an instance.
//
// # Errors
//   - a config that is no Config, or whose time is negative or more than an hour
func New(config []byte) (*scheduling.Points, error) {
	c := Config{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, fmt.Errorf("config of %s: %w", Name, err)
		}
	}
	if c.BindTimeoutSeconds < 0 || c.BindTimeoutSeconds > maxTimeout {
		return nil, fmt.Errorf("config of %s: bindTimeoutSeconds: %d is not in the range of 0 to %d", Name, c.BindTimeoutSeconds, maxTimeout)
	}
	if c.BindTimeoutSeconds == 0 {
		c.BindTimeoutSeconds = defaultTimeout
	}
	t := &plugin{timeout: time.Duration(c.BindTimeoutSeconds) * time.Second}
	return &scheduling.Points{
		PreFilter: t.preFilter, FilterAll: t.filter,
		Reserve: t.reserve, PreFlight: t.preFlight, PreBind: t.preBind,
		Events:  scheduling.NodeAdded | scheduling.NodeLabelsChanged,
		Objects: []string{claims, volumes, classes, drivers, capacities},
	}, nil
}

// plugin holds what is known of the volumes of the pod at hand.
type plugin struct {
	timeout time.Duration
	work    work
}

func (t *plugin) preFilter(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	t.work = work{}
	if len(p.Claims()) == 0 {
		return scheduling.Skip()
	}
	w, st := prepare(p.Claims(), s)
	if st == nil {
		t.work = *w
	}
	return st
}
