// Package guests holds the plugins of the hostile suite: the neighbour, which
// behaves, and hostile, which does what its config says to objects in the
// namespace of that name.
package guests

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// Namespace is where the hostile plugin does what it is told.
const Namespace = "hostile"

// Config of the hostile plugin.
type Config struct {
	// At is the point: open, validate, everything (a validate of every write), connect, mutate, prefilter, filter, score,
	// reconcile or map.
	At string `json:"at"`
	// Do names the act.
	Do string `json:"do"`
}

// Call is what an act has to do with; what its point does not have is nil.
type Call struct {
	At      string
	Review  *admission.Review
	Pod     *scheduling.Pod
	Client  client.Client
	Request controller.Request
	// Enqueue is what a reconcile queues besides.
	Enqueue []controller.Request
}

// Act is something bad. An error is one of the plugin's point.
type Act func(*Call) error

var acts = map[string]Act{}

// Register makes an act known; it is called from init.
func Register(name string, a Act) {
	if acts[name] != nil {
		panic("act registered twice: " + name)
	}
	acts[name] = a
}

func init() {
	sdk.Register(sdk.Plugin{Name: "hostile", New: newHostile})
	sdk.Register(sdk.Plugin{Name: "neighbour", New: newNeighbour})
}

func newHostile(raw []byte) (sdk.Points, error) {
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	act := acts[c.Do]
	if act == nil {
		return nil, fmt.Errorf("there is no act %q", c.Do)
	}
	if c.At == "open" {
		if err := act(&Call{At: c.At}); err != nil {
			return nil, err
		}
	}
	review := func(r *admission.Review) error { return act(&Call{At: c.At, Review: r}) }
	status := func(pod *scheduling.Pod) *scheduling.Status {
		if pod.Namespace() != Namespace {
			return nil
		}
		if err := act(&Call{At: c.At, Pod: pod}); err != nil {
			return scheduling.Unschedulable(err.Error())
		}
		return nil
	}
	switch c.At {
	case "open", "validate":
		return &admission.Points{Validate: review, Match: matchPods(Namespace)}, nil
	case "everything":
		return &admission.Points{Validate: review, Match: []admission.MatchRule{
			{Operations: []admission.Operation{admission.Create, admission.Update, admission.Delete}, Resources: []string{"*"}}}}, nil
	case "connect":
		return &admission.Points{Validate: review, Match: []admission.MatchRule{
			{Operations: []admission.Operation{admission.Connect}, Resources: []string{"v1/pods/exec", "v1/pods/proxy"}}}}, nil
	case "mutate":
		return &admission.Points{Mutate: review, Match: matchPods(Namespace)}, nil
	case "prefilter":
		return &scheduling.Points{
			PreFilter: func(pod *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status { return status(pod) },
			Filter:    func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return nil },
		}, nil
	case "filter":
		return &scheduling.Points{Filter: func(pod *scheduling.Pod, _ scheduling.Node) *scheduling.Status { return status(pod) }}, nil
	case "score":
		return &scheduling.Points{Score: func(pod *scheduling.Pod, _ scheduling.Node) int64 { status(pod); return 0 }}, nil
	case "reconcile":
		return &controller.Points{Watches: []controller.Watch{{Resource: "v1/configmaps"}}, Reconcile: func(cl client.Client, r controller.Request) (controller.Result, error) {
			if r.Namespace != Namespace {
				return controller.Result{}, nil
			}
			call := &Call{At: c.At, Client: cl, Request: r}
			err := act(call)
			return controller.Result{Enqueue: call.Enqueue}, err
		}}, nil
	case "map":
		return &controller.Points{Reconcile: func(client.Client, controller.Request) (controller.Result, error) { return controller.Result{}, nil },
			Watches: []controller.Watch{{Resource: "v1/configmaps", Map: controller.Func(func(v sdk.Value) []controller.Request {
				_ = act(&Call{At: c.At})
				return nil
			})}}}, nil
	}
	return nil, fmt.Errorf("there is no point %q", c.At)
}

func matchPods(namespaces ...string) []admission.MatchRule {
	return []admission.MatchRule{{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods"}, Namespaces: namespaces}}
}

// Seen is what the neighbour does at each point, for the tests to look at: it
// warns about every pod, refuses the node of this name, and answers a ConfigMap
// "ask-x" with "answer-x" in its own namespace.
const (
	Seen       = "the neighbour was asked"
	NoNode     = "not-for-anybody"
	AskPrefix  = "ask-"
	AnswerName = "answer-"
)

func newNeighbour([]byte) (sdk.Points, error) {
	return sdk.Join(
		&admission.Points{
			Validate: func(r *admission.Review) error { r.Warn(Seen); return nil },
			Match:    matchPods(),
		},
		&scheduling.Points{Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if n.Name() == NoNode {
				return scheduling.Unschedulable("the neighbour refuses it")
			}
			return nil
		}},
		&controller.Points{Watches: []controller.Watch{{Resource: "v1/configmaps"}}, Reconcile: answer},
	), nil
}

func answer(cl client.Client, r controller.Request) (controller.Result, error) {
	if len(r.Name) <= len(AskPrefix) || r.Name[:len(AskPrefix)] != AskPrefix {
		return controller.Result{}, nil
	}
	err := cl.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: AnswerName + r.Name[len(AskPrefix):]}})
	if client.IsAlreadyExists(err) {
		err = nil
	}
	return controller.Result{}, err
}
