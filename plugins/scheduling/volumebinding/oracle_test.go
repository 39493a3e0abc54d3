package volumebinding

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// world is a random cluster: what there is, and the pod that is to be placed.
type world struct {
	nodes      []scheduling.NodeInfo
	volumes    []*volume
	claims     []*claim
	classes    []*class
	drivers    []*driver
	capacities []*capacity
}

func ptr[T any](v T) *T { return &v }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// affinities are requirements on nodes that random volumes have.
func affinities(r *rand.Rand, nodes int) []scheduling.NodeTerm {
	host := func() string { return fmt.Sprintf("n%d", r.IntN(nodes)) }
	return pick(r,
		[]scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "host", Operator: "In", Values: []string{host()}}}}},
		[]scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "host", Operator: "In", Values: []string{host(), host()}}, {Key: "zone", Operator: "NotIn", Values: []string{"a"}}}}},
		[]scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "zone", Operator: "Exists"}}}, {Expressions: []scheduling.Requirement{{Key: "host", Operator: "In", Values: []string{host()}}}}},
		[]scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "zone", Operator: "DoesNotExist"}}}},
		[]scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "rank", Operator: "Gt", Values: []string{"1"}}}}},
		[]scheduling.NodeTerm{{}},
		[]scheduling.NodeTerm{{Fields: []scheduling.Requirement{{Key: "metadata.name", Operator: "In", Values: []string{host()}}}}},
		[]scheduling.NodeTerm{{Fields: []scheduling.Requirement{{Key: "metadata.name", Operator: "NotIn", Values: []string{host()}}}}},
	)
}

func randomWorld(r *rand.Rand) *world {
	w := &world{}
	for i := range 2 + r.IntN(8) {
		n := scheduling.NodeInfo{Name: fmt.Sprintf("n%d", i), Labels: map[string]string{"host": fmt.Sprintf("n%d", i)}}
		if z := pick(r, "", "a", "b"); z != "" {
			n.Labels["zone"] = z
		}
		if k := r.IntN(4); k > 0 {
			n.Labels["rank"] = fmt.Sprint(k)
		}
		w.nodes = append(w.nodes, n)
	}
	for _, name := range []string{"wait", "none", "csi", "now"} {
		k := &class{Provisioner: pick(r, "example.com/dyn", "kubernetes.io/no-provisioner"), Mode: ptr("WaitForFirstConsumer")}
		k.Metadata.Name = name
		switch name {
		case "none":
			k.Provisioner = "kubernetes.io/no-provisioner"
		case "csi":
			k.Provisioner = "csi.example.com"
		case "now":
			k.Mode = ptr("Immediate")
		}
		for range r.IntN(3) {
			t := topology{}
			for range r.IntN(3) {
				t.Labels = append(t.Labels, struct {
					Key    string   `json:"key"`
					Values []string `json:"values"`
				}{pick(r, "zone", "rank"), []string{pick(r, "a", "b", "1"), "2"}})
			}
			k.Topologies = append(k.Topologies, t)
		}
		w.classes = append(w.classes, k)
	}
	if r.IntN(4) > 0 {
		d := &driver{}
		d.Metadata.Name, d.Spec.StorageCapacity = "csi.example.com", pick(r, nil, ptr(false), ptr(true), ptr(true))
		w.drivers = append(w.drivers, d)
	}
	for i := range r.IntN(4) {
		c := &capacity{Class: pick(r, "csi", "csi", "wait"), Capacity: pick(r, nil, ptr(resource.Quantity("1Gi")), ptr(resource.Quantity("10Gi"))),
			MaximumSize: pick(r, nil, nil, ptr(resource.Quantity("2Gi")))}
		c.Metadata.Namespace, c.Metadata.Name = "kube-system", fmt.Sprintf("cap-%d", i)
		c.Topology = pick(r, nil, &metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: map[string]string{"host": fmt.Sprintf("n%d", r.IntN(len(w.nodes)))}},
			&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: "NotIn", Values: []string{"a"}}}})
		w.capacities = append(w.capacities, c)
	}
	w.randomClaims(r)
	return w
}

func (w *world) randomClaims(r *rand.Rand) {
	for i := range 1 + r.IntN(3) {
		c := &claim{}
		c.Metadata.Namespace, c.Metadata.Name, c.Metadata.UID = "default", fmt.Sprintf("c%d", i), fmt.Sprintf("u%d", i)
		c.Spec.AccessModes = []string{pick(r, "ReadWriteOnce", "ReadWriteMany")}
		c.Spec.Resources.Requests = map[string]resource.Quantity{"storage": pick(r, resource.Quantity("1Gi"), "2Gi", "5Gi")}
		c.Spec.StorageClassName = ptr(pick(r, "wait", "none", "csi", "csi", "wait", pick(r, "now", "absent", "")))
		if r.IntN(6) == 0 {
			c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "fast"}}
		}
		switch r.IntN(8) {
		case 0, 1:
			c.Spec.VolumeName, c.Metadata.Annotations.BindCompleted = fmt.Sprintf("v%d", r.IntN(6)), ptr("yes")
		case 2:
			c.Metadata.Annotations.SelectedNode = ptr(pick(r, w.nodes...).Name)
		case 3:
			if r.IntN(4) == 0 {
				c.Status.Phase = "Lost"
			}
		}
		w.claims = append(w.claims, c)
	}
	for i := range r.IntN(7) {
		v := &volume{}
		v.Metadata.Name = fmt.Sprintf("v%d", i)
		v.Metadata.Labels = map[string]string{"tier": pick(r, "fast", "slow")}
		v.Spec.Capacity = map[string]resource.Quantity{"storage": pick(r, resource.Quantity("1Gi"), "2Gi", "2048Mi", "8Gi")}
		v.Spec.AccessModes = pick(r, []string{"ReadWriteOnce"}, []string{"ReadWriteOnce", "ReadWriteMany"})
		v.Spec.Class = pick(r, "wait", "none", "csi")
		v.Status.Phase = pick(r, "Available", "Available", "Available", "Released")
		if r.IntN(5) > 0 {
			v.Spec.NodeAffinity = &struct {
				Required *scheduling.NodeSelector `json:"required,omitempty"`
			}{&scheduling.NodeSelector{Terms: affinities(r, len(w.nodes))}}
		}
		if r.IntN(6) == 0 {
			v.Spec.ClaimRef = &claimRef{Namespace: "default", Name: fmt.Sprintf("c%d", r.IntN(4)), UID: pick(r, "", "u0", "u1")}
		}
		if r.IntN(8) == 0 {
			v.Spec.VolumeMode = ptr("Block")
		}
		w.volumes = append(w.volumes, v)
	}
}

func (w *world) store(t *testing.T) *sdktest.Store {
	t.Helper()
	var list []client.Object
	for _, o := range w.volumes {
		list = append(list, o)
	}
	for _, o := range w.claims {
		list = append(list, o)
	}
	for _, o := range w.classes {
		list = append(list, o)
	}
	for _, o := range w.drivers {
		list = append(list, o)
	}
	for _, o := range w.capacities {
		list = append(list, o)
	}
	s, err := sdktest.NewStore(list...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) pod() scheduling.PodInfo {
	p := scheduling.PodInfo{Namespace: "default", Name: "p", UID: "pod"}
	for _, c := range w.claims {
		p.Claims = append(p.Claims, scheduling.Claim{Namespace: "default", Name: c.Metadata.Name})
	}
	return p
}

// The naive reading of the rules: one node at a time, every object looked at, labels
// as maps.

func find[T any](list []*T, is func(*T) bool) *T {
	for _, x := range list {
		if is(x) {
			return x
		}
	}
	return nil
}

func meets(q scheduling.Requirement, labels map[string]string) bool {
	v, has := labels[q.Key]
	switch q.Operator {
	case "In":
		return has && slices.Contains(q.Values, v)
	case "NotIn":
		return !has || !slices.Contains(q.Values, v)
	case "Exists":
		return has
	case "DoesNotExist":
		return !has
	case "Gt": // the values here have one digit
		return has && v > q.Values[0]
	}
	panic(q.Operator)
}

func usable(v *volume, labels map[string]string) bool {
	if v.Spec.NodeAffinity == nil {
		return true
	}
	for _, t := range v.Spec.NodeAffinity.Required.Terms {
		all := len(t.Expressions)+len(t.Fields) > 0
		for _, q := range t.Expressions {
			all = all && meets(q, labels)
		}
		for _, q := range t.Fields {
			all = all && q.Operator == "NotIn" // a node has no name here
		}
		if all {
			return true
		}
	}
	return false
}

// refusal of all nodes, "" for none, and the claims by their state.
func (w *world) refusal() (text string, bound, delayed []*claim) {
	immediate := false
	for _, c := range w.claims {
		if c.Status.Phase == "Lost" {
			return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", c.Metadata.Name, c.Spec.VolumeName), nil, nil
		}
	}
	for _, c := range w.claims {
		k := find(w.classes, func(k *class) bool { return k.Metadata.Name == *c.Spec.StorageClassName })
		switch {
		case c.Metadata.Annotations.BindCompleted != nil:
			bound = append(bound, c)
		case k != nil && *k.Mode == "WaitForFirstConsumer":
			delayed = append(delayed, c)
		default:
			immediate = true
		}
	}
	if immediate {
		return "pod has unbound immediate PersistentVolumeClaims", nil, nil
	}
	return "", bound, delayed
}

func (w *world) on(n *scheduling.NodeInfo, bound, delayed []*claim) (reasons []string, given map[string]string) {
	for _, c := range bound {
		v := find(w.volumes, func(v *volume) bool { return v.Metadata.Name == c.Spec.VolumeName })
		if v == nil {
			reasons = append(reasons, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
			break
		}
		if !usable(v, n.Labels) {
			reasons = append(reasons, "node(s) didn't match PersistentVolume's node affinity")
			break
		}
	}
	more, given := w.wants(n, delayed)
	if more != "" {
		reasons = append(reasons, more)
	}
	slices.SortFunc(reasons, func(a, b string) int { return slices.Index(reasonTexts, a) - slices.Index(reasonTexts, b) })
	return reasons, given
}

func (w *world) wants(n *scheduling.NodeInfo, delayed []*claim) (reason string, given map[string]string) {
	given = map[string]string{} // volume → claim
	var toMake []*claim
	delayed = slices.Clone(delayed)
	for _, c := range delayed {
		if s := c.Metadata.Annotations.SelectedNode; s != nil {
			if *s != n.Name {
				return reasonTexts[1], nil
			}
			toMake = append(toMake, c)
		}
	}
	slices.SortStableFunc(delayed, func(a, b *claim) int {
		return a.Spec.Resources.Requests["storage"].Cmp(b.Spec.Resources.Requests["storage"])
	})
	slices.SortStableFunc(toMake, func(a, b *claim) int {
		return a.Spec.Resources.Requests["storage"].Cmp(b.Spec.Resources.Requests["storage"])
	})
	for _, c := range delayed {
		if c.Metadata.Annotations.SelectedNode != nil {
			continue
		}
		if v := w.volumeFor(c, n.Labels, given); v != nil {
			given[v.Metadata.Name] = c.Metadata.Name
		} else {
			toMake = append(toMake, c)
		}
	}
	for _, c := range toMake {
		if r := w.canMake(c, n.Labels); r != "" {
			return r, nil
		}
	}
	return "", given
}

func (w *world) volumeFor(c *claim, labels map[string]string, given map[string]string) (best *volume) {
	for _, v := range w.volumes {
		size, want := v.Spec.Capacity["storage"], c.Spec.Resources.Requests["storage"]
		if given[v.Metadata.Name] != "" || v.Spec.Class != *c.Spec.StorageClassName || size.Cmp(want) < 0 || v.Spec.VolumeMode != nil {
			continue
		}
		if r := v.Spec.ClaimRef; r != nil {
			if r.Name == c.Metadata.Name && (r.UID == "" || r.UID == c.Metadata.UID) {
				if usable(v, labels) {
					return v
				}
				return nil
			}
			continue
		}
		if v.Status.Phase != "Available" || c.Spec.Selector != nil && v.Metadata.Labels["tier"] != "fast" ||
			!slices.Contains(v.Spec.AccessModes, c.Spec.AccessModes[0]) || !usable(v, labels) {
			continue
		}
		if best == nil || size.Cmp(best.Spec.Capacity["storage"]) < 0 {
			best = v
		}
	}
	for _, v := range w.volumes { // one that is the claim's already goes before all
		if r := v.Spec.ClaimRef; r != nil && v != best && r.Name == c.Metadata.Name && (r.UID == "" || r.UID == c.Metadata.UID) &&
			v.Spec.Class == *c.Spec.StorageClassName && v.Spec.VolumeMode == nil && v.Spec.Capacity["storage"].Cmp(c.Spec.Resources.Requests["storage"]) >= 0 && given[v.Metadata.Name] == "" {
			if usable(v, labels) {
				return v
			}
			return nil
		}
	}
	return best
}

func (w *world) canMake(c *claim, labels map[string]string) string {
	k := find(w.classes, func(k *class) bool { return k.Metadata.Name == *c.Spec.StorageClassName })
	if k.Provisioner == "kubernetes.io/no-provisioner" {
		return reasonTexts[1]
	}
	ok := len(k.Topologies) == 0
	for _, t := range k.Topologies {
		all := len(t.Labels) > 0
		for _, l := range t.Labels {
			all = all && slices.Contains(l.Values, labels[l.Key])
		}
		ok = ok || all
	}
	if !ok {
		return reasonTexts[1]
	}
	d := find(w.drivers, func(d *driver) bool { return d.Metadata.Name == k.Provisioner })
	if d == nil || d.Spec.StorageCapacity == nil || !*d.Spec.StorageCapacity {
		return ""
	}
	for _, p := range w.capacities {
		limit := p.Capacity
		if p.MaximumSize != nil {
			limit = p.MaximumSize
		}
		if p.Class == k.Metadata.Name && limit != nil && limit.Cmp(c.Spec.Resources.Requests["storage"]) >= 0 && p.Topology != nil && p.Topology.Matches(labels) {
			return ""
		}
	}
	return reasonTexts[2]
}

// TestAgainstNaive: the same nodes are refused for the same reasons as by the rules
// read naively, and what is reserved on a node that fits is what they would give.
func TestAgainstNaive(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(1500) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 7)))
		all, bound, delayed := w.refusal()
		points, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sdktest.TryWith(w.store(t), points, w.pod(), w.nodes...)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range w.nodes {
			want, given := []string{all}, map[string]string(nil)
			if all == "" {
				want, given = w.on(&w.nodes[i], bound, delayed)
			}
			counts[strings.Join(want, ", ")]++
			if !slices.Equal(got[i].Reasons, want) {
				t.Fatalf("seed %d, node %s: refused because of %q, want %q", seed, got[i].Node, got[i].Reasons, want)
			}
			if len(want) == 0 {
				checkReserved(t, seed, w, w.nodes[i].Name, given)
			}
		}
	}
	for _, text := range append([]string{"", "pod has unbound immediate PersistentVolumeClaims"}, reasonTexts...) {
		if counts[text] < 20 {
			t.Errorf("%q was seen %d times only", text, counts[text])
		}
	}
}

// checkReserved compares the volumes that are assumed for the pod's claims.
func checkReserved(t *testing.T, seed uint64, w *world, node string, want map[string]string) {
	t.Helper()
	points, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sdktest.Reserve(w.store(t), points, w.pod(), node, w.nodes...)
	if err != nil || r.Refused != "" {
		t.Fatalf("seed %d, node %s: refused %q, %v", seed, node, r.Refused, err)
	}
	given := 0
	for _, a := range r.Assumed {
		name, patch, _ := strings.Cut(strings.TrimPrefix(a, volumes+" /"), " ")
		if !strings.HasPrefix(a, volumes) {
			continue
		}
		given++
		if c := want[name]; c == "" || strings.Contains(patch, "claimRef") && !strings.Contains(patch, `"name":"`+c+`"`) {
			t.Fatalf("seed %d, node %s: %s is assumed, want %v", seed, node, a, want)
		}
	}
	for v := range want { // one that names the claim already need not be assumed
		if given < len(want) && find(w.volumes, func(x *volume) bool { return x.Metadata.Name == v }).Spec.ClaimRef == nil && !slices.ContainsFunc(r.Assumed, func(a string) bool { return strings.HasPrefix(a, volumes+" /"+v+" ") }) {
			t.Fatalf("seed %d, node %s: %q are assumed, want %v", seed, node, r.Assumed, want)
		}
	}
}
