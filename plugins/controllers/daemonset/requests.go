package daemonset

import (
	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func anyNode(sdk.Value) []controller.Request { return []controller.Request{{Name: nodes}} }

// ownerOf requests the DaemonSet of a revision that is gone: it may have been needed.
func ownerOf(revision sdk.Value) []controller.Request {
	for _, o := range revision.Get("metadata.ownerReferences").Items() {
		if o.Get("controller").Bool() && o.Get("kind").String() == kind {
			return []controller.Request{{Namespace: revision.Get("metadata.namespace").String(), Name: o.Get("name").String()}}
		}
	}
	return nil
}

// selector is what the controller looks at in DaemonSets of which it does not know
// whether they are concerned.
type selector struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
}

// APIResource makes a selector a client.Object.
func (*selector) APIResource() string { return "apps/v1/daemonsets" }

// selecting names the DaemonSets that select a pod or a revision without an owner.
func selecting(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*selector
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, x := range all {
		if x.DeletionTimestamp == nil && !selectsAll(x.Spec.Selector) && x.Spec.Selector.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Namespace, Name: x.Name})
		}
	}
	return res, nil
}

// everySet names all DaemonSets.
func everySet(c client.Client) (controller.Result, error) {
	var all []*selector
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, x := range all {
		res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Namespace, Name: x.Name})
	}
	return res, nil
}

// selectsAll tells of a selector that is empty: it would take every pod for its own.
func selectsAll(s *metav1.LabelSelector) bool {
	return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0
}
