// Package guests holds the plugins of the hostile suite: the neighbour, which
// behaves, and hostile, which does what its config says to objects in the
// namespace of that name.
package guests

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
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
	Review  *sdk.Review
	Pod     *sdk.Pod
	Client  sdk.Client
	Request sdk.Request
	// Also is what a reconcile queues besides.
	Also []sdk.Request
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

func newHostile(raw []byte) (*sdk.Points, error) {
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
	p := &sdk.Points{}
	review := func(r *sdk.Review) error { return act(&Call{At: c.At, Review: r}) }
	status := func(pod *sdk.Pod) *sdk.Status {
		if pod.Namespace() != Namespace {
			return nil
		}
		if err := act(&Call{At: c.At, Pod: pod}); err != nil {
			return sdk.Unschedulable(err.Error())
		}
		return nil
	}
	switch c.At {
	case "open", "validate":
		p.Validate, p.Match = review, matchPods(Namespace)
	case "everything":
		p.Validate, p.Match = review, []sdk.MatchRule{{Operations: []sdk.Operation{sdk.Create, sdk.Update, sdk.Delete}, Resources: []string{"*"}}}
	case "connect":
		p.Validate, p.Match = review, []sdk.MatchRule{{Operations: []sdk.Operation{sdk.Connect}, Resources: []string{"v1/pods/exec", "v1/pods/proxy"}}}
	case "mutate":
		p.Mutate, p.Match = review, matchPods(Namespace)
	case "prefilter":
		p.PreFilter = func(pod *sdk.Pod, _ *sdk.Snapshot) *sdk.Status { return status(pod) }
		p.Filter = func(*sdk.Pod, sdk.Node) *sdk.Status { return nil }
	case "filter":
		p.Filter = func(pod *sdk.Pod, _ sdk.Node) *sdk.Status { return status(pod) }
	case "score":
		p.Score = func(pod *sdk.Pod, _ sdk.Node) int64 { status(pod); return 0 }
	case "reconcile":
		p.Controller = &sdk.Controller{Watches: []sdk.Watch{{Resource: "v1/configmaps"}}, Reconcile: func(cl sdk.Client, r sdk.Request) (sdk.Result, error) {
			if r.Namespace != Namespace {
				return sdk.Result{}, nil
			}
			call := &Call{At: c.At, Client: cl, Request: r}
			err := act(call)
			return sdk.Result{Also: call.Also}, err
		}}
	case "map":
		p.Controller = &sdk.Controller{Reconcile: func(sdk.Client, sdk.Request) (sdk.Result, error) { return sdk.Result{}, nil },
			Watches: []sdk.Watch{{Resource: "v1/configmaps", Map: sdk.Func(func(v sdk.Value) []sdk.Request {
				_ = act(&Call{At: c.At})
				return nil
			})}}}
	default:
		return nil, fmt.Errorf("there is no point %q", c.At)
	}
	return p, nil
}

func matchPods(namespaces ...string) []sdk.MatchRule {
	return []sdk.MatchRule{{Operations: []sdk.Operation{sdk.Create}, Resources: []string{"v1/pods"}, Namespaces: namespaces}}
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

func newNeighbour([]byte) (*sdk.Points, error) {
	return &sdk.Points{
		Validate: func(r *sdk.Review) error { r.Warn(Seen); return nil },
		Match:    matchPods(),
		Filter: func(_ *sdk.Pod, n sdk.Node) *sdk.Status {
			if n.Name() == NoNode {
				return sdk.Unschedulable("the neighbour refuses it")
			}
			return nil
		},
		Controller: &sdk.Controller{Watches: []sdk.Watch{{Resource: "v1/configmaps"}}, Reconcile: answer},
	}, nil
}

func answer(cl sdk.Client, r sdk.Request) (sdk.Result, error) {
	if len(r.Name) <= len(AskPrefix) || r.Name[:len(AskPrefix)] != AskPrefix {
		return sdk.Result{}, nil
	}
	err := cl.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: AnswerName + r.Name[len(AskPrefix):]}})
	if sdk.IsAlreadyExists(err) {
		err = nil
	}
	return sdk.Result{}, err
}
