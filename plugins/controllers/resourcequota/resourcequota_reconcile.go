package resourcequota

import (
	"maps"
	"strings"
	"time"

	"github.com/pintle-io/pintle/plugins/quota"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

// store reads objects, and writes a status; a client.Client is one.
type store interface {
	List(list any, o client.ListOptions) error
	UpdateStatus(obj client.Object) error
}

// counter counts objects of one namespace at one moment. What it has listed it keeps:
// several quotas are counted from the same lists.
type counter struct {
	namespace string
	client    store
	now       time.Time

	objects map[string][]*quota.Object // by resource, of those that count for more than one
	counts  map[string]int             // by group and resource; nil: not listed yet
	ends    time.Time                  // when a pod that is being deleted counts no more; zero: none is
}

// object is a quota.Object to be listed.
type object struct{ quota.Object }

// APIResource implements client.Object.
func (*object) APIResource() string { return "v1/pods" }

// item is an object of any kind.
type item struct {
	Resource string `json:"resource"`
}

// APIResource implements client.Object.
func (*item) APIResource() string { return client.AllResources }

// status is what a quota's status is to be after what the changed resource counts for
// was counted; nil when it is so already.
func (n *counter) status(q *corev1.ResourceQuota, changed string) (*corev1.ResourceQuotaStatus, error) {
	names := corev1.ResourceList{}
	if new := !equal(q.Spec.Hard, q.Status.Hard) || q.Status.Used == nil; new || changed == everything {
		names = q.Spec.Hard
	} else {
		for _, name := range quota.Tracked(quota.GroupResource(changed), q.Spec.Hard) {
			names[name] = q.Spec.Hard[name]
		}
	}
	if len(names) == 0 && changed != everything {
		return nil, nil
	}
	next := &corev1.ResourceQuotaStatus{Hard: maps.Clone(q.Spec.Hard), Used: corev1.ResourceList{}}
	for name := range q.Spec.Hard {
		if used, ok := q.Status.Used[name]; ok {
			next.Used[name] = used
		}
	}
	if err := n.count(&q.Spec, names, next.Used); err != nil {
		return nil, err
	}
	if equal(next.Hard, q.Status.Hard) && equal(next.Used, q.Status.Used) && q.Status.Used != nil {
		return nil, nil
	}
	return next, nil
}

// count sets what is used of names, of those that anything is known to count for.
func (n *counter) count(spec *corev1.ResourceQuotaSpec, names, used corev1.ResourceList) error {
	totals := corev1.ResourceList{}
	for _, res := range []string{"v1/pods", "v1/services", "v1/persistentvolumeclaims"} {
		gr := quota.GroupResource(res)
		tracked := quota.Tracked(gr, names)
		if len(tracked) == 0 {
			continue
		}
		for _, name := range tracked {
			totals[name] = "0"
		}
		list, err := n.list(res)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.InScope(gr, spec) {
				quota.Sum(totals, o.Usage(gr, n.now))
			}
		}
	}
	if err := n.numbers(spec, names, totals); err != nil {
		return err
	}
	maps.Copy(used, totals)
	return nil
}

// list is all objects of a resource that counts for more than its number.
func (n *counter) list(res string) ([]*quota.Object, error) {
	if list, ok := n.objects[res]; ok {
		return list, nil
	}
	var found []*object
	if err := n.client.List(&found, client.ListOptions{Resource: res, Namespace: n.namespace}); err != nil {
		return nil, err
	}
	list := make([]*quota.Object, len(found))
	for i, o := range found {
		list[i] = &o.Object
		if end, deleted := o.Ends(); deleted && end.After(n.now) && (n.ends.IsZero() || end.Before(n.ends)) {
			n.ends = end
		}
	}
	if n.objects == nil {
		n.objects = map[string][]*quota.Object{}
	}
	n.objects[res] = list
	return list, nil
}

// numbers sets the totals of names that only count objects. None of these is in a
// scope. Names of kinds that are not there, which may come, count none.
func (n *counter) numbers(spec *corev1.ResourceQuotaSpec, names, totals corev1.ResourceList) error {
	scoped := len(spec.Scopes) > 0 || spec.ScopeSelector != nil && len(spec.ScopeSelector.MatchExpressions) > 0
	for name := range names {
		gr, ok := numbered(string(name))
		if _, done := totals[name]; done || !ok {
			continue
		}
		if scoped {
			totals[name] = "0"
			continue
		}
		if err := n.everyKind(); err != nil {
			return err
		}
		totals[name] = resource.Whole(int64(n.counts[gr]))
	}
	return nil
}

// numbered is the resource whose objects a name counts.
func numbered(name string) (groupResource string, ok bool) {
	if gr, counts := strings.CutPrefix(name, "count/"); counts {
		return gr, !quota.Ignored(gr)
	}
	return name, len(quota.Tracked(name, corev1.ResourceList{corev1.ResourceName(name): ""})) > 0
}

func (n *counter) everyKind() error {
	if n.counts != nil {
		return nil
	}
	var found []*item
	if err := n.client.List(&found, client.ListOptions{Namespace: n.namespace}); err != nil {
		return err
	}
	n.counts = map[string]int{}
	for _, x := range found {
		n.counts[quota.GroupResource(x.Resource)]++
	}
	return nil
}

// again is when to count everything again.
func (n *counter) again() time.Duration {
	if n.ends.IsZero() {
		return resync
	}
	return min(resync, n.ends.Sub(n.now)+time.Second)
}

func equal(a, b corev1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}
