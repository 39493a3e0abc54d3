package suite

import (
	"errors"
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite-reserve", New: func([]byte) (sdk.Points, error) { return reserving, nil }})
}

// claimed is the ConfigMap that pods of this plugin take: it is named by a label of
// theirs.
func claimed(p *scheduling.Pod) scheduling.ObjectRef {
	name, _ := p.Label("takes")
	return scheduling.ObjectRef{Resource: "v1/configmaps", Namespace: p.Namespace(), Name: name}
}

// reserving takes a ConfigMap for a pod: one that nobody has. Before the pod is bound
// it writes that down, and waits until the ConfigMap says "ready".
var reserving = &scheduling.Points{
	Objects: []string{"v1/configmaps"},
	PreFilter: func(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
		o := claimed(p)
		if o.Name == "" {
			return scheduling.Skip()
		}
		var cm corev1.ConfigMap
		if err := s.Get(&cm, o.Namespace, o.Name); client.IsNotFound(err) {
			return scheduling.UnschedulableAndUnresolvable("no " + o.Name)
		} else if err != nil {
			return scheduling.Failed(err)
		}
		if by := cm.Data["by"]; by != "" && by != cm.Data["for"] {
			return scheduling.Unschedulable(o.Name + " is taken by " + by)
		}
		return nil
	},
	Reserve: func(p *scheduling.Placement) *scheduling.Status {
		o := claimed(p.Pod())
		if o.Name == "refuse" {
			return scheduling.Unschedulable("not on " + p.Node().Name())
		}
		p.Assume(o, map[string]any{"data": map[string]string{"by": p.PodName}})
		p.State = []byte(o.Name)
		return nil
	},
	Unreserve: func(p *scheduling.Placement) {
		if string(p.State) == "panic" {
			panic("unreserve " + p.PodName)
		}
	},
	PreFlight: func(p *scheduling.Placement) bool { return string(p.State) != "at-once" },
	PreBind: func(p *scheduling.Placement, c client.Client) *scheduling.Status {
		o := scheduling.ObjectRef{Resource: "v1/configmaps", Namespace: p.Namespace, Name: string(p.State)}
		switch o.Name {
		case "panic":
			panic("prebind " + p.PodName)
		case "error":
			return scheduling.Failed(errors.New("no answer"))
		case "never":
			return scheduling.Unschedulable("never for " + p.PodName)
		}
		if p.Elapsed > time.Hour {
			return scheduling.Unschedulable("too late")
		}
		cm := corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}}
		if err := c.Patch(&cm, client.Patch{Data: map[string]any{"data": map[string]string{"by": p.PodName, "on": p.NodeName}}}); err != nil {
			return scheduling.Failed(err)
		}
		if cm.Data["state"] != "ready" {
			return scheduling.Wait(time.Minute, o)
		}
		return nil
	},
}
