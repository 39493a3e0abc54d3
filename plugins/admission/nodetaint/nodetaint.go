// Package nodetaint keeps pods from new nodes until they are ready, as upstream's
// TaintNodesByCondition admission does: a node begins with the taint not-ready, which
// the controller nodelifecycle takes away. Otherwise the scheduler could be faster
// than that controller.
package nodetaint

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
)

const (
	key    = "node.kubernetes.io/not-ready"
	effect = "NoSchedule"
)

var taint = json.RawMessage(`{"key":"` + key + `","effect":"` + effect + `"}`)

func init() {
	sdk.Register(sdk.Plugin{Name: "taint-nodes", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{
			Match:  []admission.MatchRule{{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/nodes"}}},
			Fields: []string{"spec.taints.key", "spec.taints.effect"},
			Mutate: mutate,
		}, nil
	}})
}

func mutate(r *admission.Review) error {
	has := r.Object.Get("spec.taints")
	for _, t := range has.Items() {
		if t.Key("key").String() == key && t.Key("effect").String() == effect {
			return nil
		}
	}
	return r.Set(fmt.Sprintf("spec.taints[%d]", has.Len()), taint)
}
