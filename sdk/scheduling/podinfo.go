package scheduling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// PodInfo is a pod for [NewPod] and tests of plugins.
type PodInfo struct {
	Namespace, Name, UID string
	Labels, Annotations  map[string]string
	// NodeName is spec.nodeName: the node that the pod's author asks for.
	NodeName      string
	SchedulerName string
	Priority      int32
	// Requests is what the pod needs of a node, overhead included. In NonZero a
	// container without a request counts with a default (100m, 200 MiB).
	Requests Resources
	NonZero  Resources
	// NodeSelector, Affinity, Tolerations as in the pod's spec.
	NodeSelector map[string]string
	Affinity     *NodeAffinity
	Tolerations  []Toleration
	// Images are the images of init containers, containers and image volumes,
	// as written in the spec, one entry for each.
	Images []string
	// Ports are the host ports of containers that run as long as the pod does.
	Ports []HostPort
	// Claims of the pod's volumes.
	Claims []Claim
	// Object has what the pod has besides: a corev1.Pod of sdk/api, or a tree of
	// maps. The fields above win.
	Object any
}

// Toleration is as in the pod's spec. Operator "" is Equal, Effect "" matches
// all effects.
type Toleration struct {
	Key      string `json:"key,omitempty"`
	Operator string `json:"operator,omitempty"`
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"`
}

// Tolerates tells whether the toleration matches the taint.
func (t Toleration) Tolerates(taint Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == taint.Value
	case "Exists":
		return true
	}
	return false
}

// NodeAffinity is the node affinity of a pod. Required nil means that there is
// no requirement; required without terms matches no node.
type NodeAffinity struct {
	Required  *NodeSelector   `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []PreferredTerm `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// NodeSelector matches a node when one of its terms does.
type NodeSelector struct {
	Terms []NodeTerm `json:"nodeSelectorTerms"`
}

// PreferredTerm adds Weight to the score of a node that Term matches.
type PreferredTerm struct {
	Weight int32    `json:"weight"`
	Term   NodeTerm `json:"preference"`
}

// NodeTerm matches a node when all its requirements do; an empty term matches
// none.
type NodeTerm struct {
	Expressions []Requirement `json:"matchExpressions,omitempty"` // on labels
	Fields      []Requirement `json:"matchFields,omitempty"`      // on fields: metadata.name
}

// Requirement is one condition: In, NotIn, Exists, DoesNotExist, Gt, Lt.
type Requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// readPart reads a part of a pod into to, the field of a [Pod]. It is false when what
// r reads is not of the expected form; to is as before then. The order of fields is
// that of the type (RATIONALE.md, "Why are the parts of a pod read by hand?").
func readPart(r *record.Reader, to any) bool {
	switch to := to.(type) {
	case *string:
		return keep(r, to, r.Text())
	case *int32:
		return keep(r, to, r.Int32())
	case *map[string]string:
		return keep(r, to, r.TextMap())
	case *[]string:
		return keep(r, to, r.Texts())
	case *Resources:
		var x Resources
		readResources(r, &x)
		return keep(r, to, x)
	case **NodeAffinity:
		return keep(r, to, readAffinity(r))
	case *[]Toleration:
		return keep(r, to, record.Items(r, readToleration))
	case *[]HostPort:
		return keep(r, to, record.Items(r, readPort))
	case *[]Claim:
		return keep(r, to, record.Items(r, readClaim))
	}
	return false
}

func keep[T any](r *record.Reader, to *T, v T) bool {
	if r.Err() != nil {
		return false
	}
	*to = v
	return true
}

func readResources(r *record.Reader, to *Resources) {
	if outer, ok := r.Struct(); ok {
		to.MilliCPU, to.Memory, to.Ephemeral = r.Int(), r.Int(), r.Int()
		to.Extended = record.Items(r, readAmount)
		r.Leave(outer)
	}
}

func readAmount(r *record.Reader, to *Amount) {
	if outer, ok := r.Struct(); ok {
		to.Name, to.Value = r.Text(), r.Int()
		r.Leave(outer)
	}
}

func readToleration(r *record.Reader, to *Toleration) {
	if outer, ok := r.Struct(); ok {
		to.Key, to.Operator, to.Value, to.Effect = r.Text(), r.Text(), r.Text(), r.Text()
		r.Leave(outer)
	}
}

func readPort(r *record.Reader, to *HostPort) {
	if outer, ok := r.Struct(); ok {
		to.IP, to.Protocol, to.Port = r.Text(), r.Text(), r.Int32()
		r.Leave(outer)
	}
}

func readClaim(r *record.Reader, to *Claim) {
	if outer, ok := r.Struct(); ok {
		to.Namespace, to.Name, to.PodName, to.PodUID = r.Text(), r.Text(), r.Text(), r.Text()
		r.Leave(outer)
	}
}

func readAffinity(r *record.Reader) *NodeAffinity {
	outer, ok := r.Struct()
	if !ok {
		return nil
	}
	a := &NodeAffinity{}
	if outer, ok := r.Struct(); ok {
		a.Required = &NodeSelector{Terms: record.Items(r, readTerm)}
		r.Leave(outer)
	}
	a.Preferred = record.Items(r, readPreferred)
	r.Leave(outer)
	return a
}

func readPreferred(r *record.Reader, to *PreferredTerm) {
	if outer, ok := r.Struct(); ok {
		to.Weight = r.Int32()
		readTerm(r, &to.Term)
		r.Leave(outer)
	}
}

func readTerm(r *record.Reader, to *NodeTerm) {
	if outer, ok := r.Struct(); ok {
		to.Expressions, to.Fields = record.Items(r, readRequirement), record.Items(r, readRequirement)
		r.Leave(outer)
	}
}

func readRequirement(r *record.Reader, to *Requirement) {
	if outer, ok := r.Struct(); ok {
		to.Key, to.Operator, to.Values = r.Text(), r.Text(), r.Texts()
		r.Leave(outer)
	}
}

// Record is the pod as a kernel sends it to a plugin that declares these fields;
// nil is none. It is for hosts in tests.
//
// # Errors
//   - a malformed declaration, or an Object that has no JSON form
func (i PodInfo) Record(fields *string) ([]byte, error) {
	if fields == nil {
		return nil, nil
	}
	f, err := record.ParseFields(*fields)
	if err != nil {
		return nil, err
	}
	o, err := i.object()
	if err != nil {
		return nil, err
	}
	return record.NewEncoder(nil).Plan(f).Append(nil, o)
}

// object is the pod as plugins are shown it: fields of the API's Pod, and what
// the scheduler makes of them.
func (i PodInfo) object() (map[string]any, error) {
	type m = map[string]any
	spec := set("nodeName", i.NodeName, "schedulerName", i.SchedulerName, "priority", i.Priority, "nodeSelector", i.NodeSelector, "tolerations", i.Tolerations)
	if i.Affinity != nil {
		spec["affinity"] = m{"nodeAffinity": i.Affinity}
	}
	own, err := treeOf(m{
		"metadata":  set("namespace", i.Namespace, "name", i.Name, "uid", i.UID, "labels", i.Labels, "annotations", i.Annotations),
		"spec":      spec,
		"effective": set("requests", i.Requests, "nonZeroRequests", i.NonZero, "images", i.Images, "hostPorts", i.Ports, "claims", i.Claims),
	})
	if err != nil || i.Object == nil {
		return own, err
	}
	rest, err := treeOf(i.Object)
	if err != nil {
		return nil, err
	}
	overlay(rest, own)
	return rest, nil
}

// set makes a map of keys and values; zeros are left out.
func set(list ...any) map[string]any {
	out := map[string]any{}
	for k := 0; k < len(list); k += 2 {
		if key, ok := list[k].(string); ok && !reflect.ValueOf(list[k+1]).IsZero() {
			out[key] = list[k+1]
		}
	}
	return out
}

// treeOf is a value as its JSON has it.
func treeOf(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out := map[string]any{}
	return out, d.Decode(&out)
}

// overlay puts what is in top over a tree.
func overlay(tree, top map[string]any) {
	for k, v := range top {
		above, ok := v.(map[string]any)
		below, both := tree[k].(map[string]any)
		if ok && both {
			overlay(below, above)
		} else {
			tree[k] = v
		}
	}
}
