// Package defaulttolerations lets every pod stay for a while on a node that
// is not ready or unreachable, unless the pod says otherwise, as upstream's
// DefaultTolerationSeconds admission does. It acts on updates, too: a client
// that replaces the list by its own, as kubectl apply does, would otherwise
// take tolerations away, which nobody may.
package defaulttolerations

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Config is the plugin's configuration. A missing field is 300, upstream's
// default.
type Config struct {
	NotReadySeconds    *int64 `json:"notReadySeconds"`
	UnreachableSeconds *int64 `json:"unreachableSeconds"`
}

const defaultSeconds = 300

func init() {
	sdk.Register(sdk.Plugin{Name: "default-tolerations", New: func(raw []byte) (sdk.Points, error) {
		var c Config
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, fmt.Errorf("config: %w", err)
			}
		}
		var want []toleration
		for _, t := range []struct {
			key     string
			seconds int64
		}{{"node.kubernetes.io/not-ready", seconds(c.NotReadySeconds)}, {"node.kubernetes.io/unreachable", seconds(c.UnreachableSeconds)}} {
			if t.seconds < 0 {
				return nil, fmt.Errorf("config: %d seconds for %s is negative", t.seconds, t.key)
			}
			text, err := json.Marshal(corev1.Toleration{Key: t.key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &t.seconds})
			if err != nil {
				return nil, err
			}
			want = append(want, toleration{t.key, text})
		}
		return &admission.Points{
			Match:  []admission.MatchRule{{Operations: []admission.Operation{admission.Create, admission.Update}, Resources: []string{"v1/pods"}}},
			Fields: []string{"spec.tolerations.key", "spec.tolerations.effect"},
			Mutate: func(r *admission.Review) error { return mutate(r, want) },
		}, nil
	}})
}

type toleration struct {
	key  string
	text json.RawMessage // encoded once
}

func seconds(p *int64) int64 {
	if p == nil {
		return defaultSeconds
	}
	return *p
}

func mutate(r *admission.Review, want []toleration) error {
	n := r.Object.Get("spec.tolerations").Len()
	for _, t := range want {
		if tolerates(r.Object, t.key) {
			continue
		}
		if err := r.Set(fmt.Sprintf("spec.tolerations[%d]", n), t.text); err != nil {
			return err
		}
		n++
	}
	return nil
}

// tolerates tells whether the pod says itself what to do about the taint.
func tolerates(pod sdk.Value, key string) bool {
	for _, t := range pod.Get("spec.tolerations").Items() {
		k, effect := t.Key("key").String(), t.Key("effect").String()
		if (k == key || k == "") && (effect == string(corev1.TaintEffectNoExecute) || effect == "") {
			return true
		}
	}
	return false
}
