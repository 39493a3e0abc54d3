package statefulset

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// hold keeps a pod that is deleted until its node lets it go.
const hold = "test/hold"

// oracle is a world in which anything happens, and a judge of each write of the
// controller to a pod.
type oracle struct {
	*world
	*rand.Rand
	t     testing.TB
	f     *failing
	log   []string // what happened, for a failure
	image int
	// condemned are the pods, by uid, that a round has found not to be wanted any more.
	condemned map[string]bool
}

func newOracle(t testing.TB, seed uint64) *oracle {
	o := &oracle{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, condemned: map[string]bool{}}
	policies := []appsv1.PersistentVolumeClaimRetentionPolicyType{appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
	set := newSet(int32(o.IntN(5)), retention(policies[o.IntN(2)], policies[o.IntN(2)]))
	if o.IntN(2) == 0 {
		parallel(set)
	}
	from(int32(o.IntN(2) * 3))(set)
	set.Spec.Template.Finalizers = []string{hold}
	o.world = newWorld(t, set)
	o.f = &failing{Client: o.as, before: o.judge}
	o.as = o.f
	return o
}

func (o *oracle) fail(format string, args ...any) {
	o.t.Helper()
	s := o.set(o.t)
	o.t.Fatalf("%s\nset: replicas %d start %d policy %s partition %d status %+v\npods:\n%s\nhistory:\n%s", fmt.Sprintf(format, args...), wanted(s), start(s), s.Spec.PodManagementPolicy,
		*s.Spec.UpdateStrategy.RollingUpdate.Partition, s.Status, o.describe(), strings.Join(o.log, "\n"))
}

func (o *oracle) pods() (out []*pod) {
	must(o.t, o.List(&out, client.ListOptions{Namespace: "default"}))
	return out
}

func (o *oracle) describe() string {
	var lines []string
	for _, p := range o.pods() {
		lines = append(lines, fmt.Sprint("  ", p.Name, " ", p.Status.Phase, " ready ", p.runningAndReady(), " deleting ", p.deleting(), " ", p.revision()))
	}
	return strings.Join(lines, "\n")
}

// try runs the controller once.
func (o *oracle) try() error {
	set := o.set(o.t)
	for _, p := range o.pods() {
		if n, ok := ordinalOf(set, p.Name); ok && !inRange(set, n) {
			o.condemned[p.UID] = true
		}
	}
	return o.world.try()
}

// imageOf is the image of a pod.
func (o *oracle) imageOf(p *pod) string { return o.pod(o.t, p.Name).Spec.Containers[0].Image }

// judge holds each write to the contract of StatefulSets.
func (o *oracle) judge(op client.Op) {
	set := o.set(o.t)
	if op.Object.APIResource() != "v1/pods" {
		return
	}
	if op.Verb == client.VerbCreate {
		var p corev1.Pod
		must(o.t, json.Unmarshal(op.Object.(client.Encoded).EncodedJSON(), &p))
		o.log = append(o.log, "controller creates "+p.Name+" of "+p.Spec.Containers[0].Image)
		o.judgeCreation(set, &p)
		return
	}
	p := op.Object.(*pod)
	o.log = append(o.log, "controller deletes "+p.Name)
	o.judgeRemoval(set, p)
}

func (o *oracle) judgeCreation(set *appsv1.StatefulSet, p *corev1.Pod) {
	n, ok := ordinalOf(set, p.Name)
	if !ok || !inRange(set, n) {
		o.fail("%s is made, which nobody asks for", p.Name)
	}
	there := map[int]*pod{}
	for _, x := range o.pods() {
		m, _ := ordinalOf(set, x.Name)
		there[m] = x
	}
	if there[n] != nil {
		o.fail("%s is made while there is one", p.Name)
	}
	for i := start(set); i < n && set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement; i++ {
		if x := there[i]; x == nil || !x.runningAndReady() || x.deleting() {
			o.fail("%s is made before %d is well", p.Name, i)
		}
	}
	c := &claim{}
	must(o.t, o.Get(c, "default", "data-"+p.Name))
	if c.DeletionTimestamp != nil {
		o.fail("%s is made with a claim that is going", p.Name)
	}
	for _, r := range c.OwnerReferences {
		if r.Kind == "Pod" {
			o.fail("%s is made with the claim of an earlier pod", p.Name)
		}
	}
	want := set.Spec.Template.Spec.Containers[0].Image
	if n-start(set) < int(*set.Spec.UpdateStrategy.RollingUpdate.Partition) && slices.Contains(o.keys("apps/v1/controllerrevisions"), set.Status.CurrentRevision) {
		r := &appsv1.ControllerRevision{}
		must(o.t, o.Get(r, "default", set.Status.CurrentRevision))
		if !strings.Contains(string(r.Data), `"`+p.Spec.Containers[0].Image+`"`) {
			o.fail("%s, below the partition, is made of %s", p.Name, p.Spec.Containers[0].Image)
		}
	} else if p.Spec.Containers[0].Image != want {
		o.fail("%s is made of %s, want %s", p.Name, p.Spec.Containers[0].Image, want)
	}
}

func (o *oracle) judgeRemoval(set *appsv1.StatefulSet, p *pod) {
	ordered := set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	n, _ := ordinalOf(set, p.Name)
	all := o.pods()
	missing := wanted(set)
	unwell := 0
	for _, x := range all {
		m, _ := ordinalOf(set, x.Name)
		if !inRange(set, m) {
			if ordered && !inRange(set, n) && m > n {
				o.fail("%s is removed before %s", p.Name, x.Name)
			}
			continue
		}
		missing--
		if !x.runningAndReady() || x.deleting() {
			unwell++
		}
	}
	switch {
	case p.finished():
	case !inRange(set, n):
		if ordered && missing+unwell > 0 {
			o.fail("%s is removed while the wanted are not well", p.Name)
		}
	default:
		most := 1
		if v := set.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable; v != nil {
			most, _ = v.Scaled(wanted(set), false)
			most = max(most, 1)
		}
		switch {
		case o.imageOf(p) == set.Spec.Template.Spec.Containers[0].Image:
			o.fail("%s is removed, which is as it should be", p.Name)
		case n-start(set) < int(*set.Spec.UpdateStrategy.RollingUpdate.Partition):
			o.fail("%s is removed, below the partition", p.Name)
		case !p.runningAndReady() && ordered:
			o.fail("%s is removed, in order, while it is not well", p.Name)
		case p.runningAndReady() && missing+unwell+1 > most:
			o.fail("%s is removed, and %d of at most %d are missing", p.Name, missing+unwell+1, most)
		}
	}
}

// happen does something to the world that is not the controller.
func (o *oracle) happen() {
	note := func(what string, args ...any) { o.log = append(o.log, fmt.Sprintf(what, args...)) }
	rolling := func(f func(*appsv1.RollingUpdateStatefulSetStrategy)) {
		o.change(o.t, func(s *appsv1.StatefulSet) { f(s.Spec.UpdateStrategy.RollingUpdate) })
	}
	switch o.IntN(16) {
	case 0:
		n := int32(o.IntN(6))
		o.change(o.t, func(s *appsv1.StatefulSet) { s.Spec.Replicas = &n })
		note("scaled to %d", n)
	case 1:
		o.image++
		name := fmt.Sprint("image-", o.image)
		if o.IntN(3) == 0 {
			name = fmt.Sprint("image-", o.IntN(o.image+1))
		}
		o.world.image(o.t, name)
		note("template %s", name)
	case 2:
		n := int32(o.IntN(4))
		rolling(func(r *appsv1.RollingUpdateStatefulSetStrategy) { r.Partition = &n })
		note("partition %d", n)
	case 3:
		v := intstr.FromInt(1 + o.IntN(3))
		rolling(func(r *appsv1.RollingUpdateStatefulSetStrategy) { r.MaxUnavailable = &v })
		note("maxUnavailable %v", v)
	case 4:
		o.collect()
	default:
		if all := o.pods(); len(all) > 0 {
			note("%s", o.befall(o.pod(o.t, all[o.IntN(len(all))].Name)))
		}
	}
}

// befall does something to a pod.
func (o *oracle) befall(p *corev1.Pod) string {
	switch o.IntN(8) {
	case 0:
		p.Status.Phase = corev1.PodFailed
		must(o.t, o.UpdateStatus(p))
		return p.Name + " fails"
	case 1:
		must(o.t, o.Delete(p, client.DeleteOptions{}))
		return p.Name + " is deleted by somebody"
	case 2:
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, nil
		must(o.t, o.UpdateStatus(p))
		return p.Name + " is not ready"
	case 3:
		delete(p.Labels, appsv1.StatefulSetPodNameLabel)
		must(o.t, o.Update(p))
		return p.Name + " loses its label"
	}
	return o.attend(p)
}

// attend is what its node does with a pod.
func (o *oracle) attend(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		must(o.t, client.RemoveFinalizer(o.Client, p, hold))
		return p.Name + " ends"
	}
	if p.Status.Phase != corev1.PodFailed {
		o.ready(o.t, p.Name, metav1.NewTime(time.Now().Add(-time.Hour)))
	}
	return p.Name + " is ready"
}

// collect is the garbage collector of claims.
func (o *oracle) collect() {
	alive := map[string]bool{o.set(o.t).UID: true}
	for _, p := range o.pods() {
		alive[p.UID] = true
	}
	o.collectBut(alive)
}

// claims are all that there are; each must have no owners but those that the
// retention policy lets it go with.
func (o *oracle) claims() (all []*claim) {
	o.t.Helper()
	must(o.t, o.List(&all, client.ListOptions{Namespace: "default"}))
	set := o.set(o.t)
	p := set.Spec.PersistentVolumeClaimRetentionPolicy
	for _, c := range all {
		for _, r := range c.OwnerReferences {
			switch {
			case r.UID == set.UID && p.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
			case o.condemned[r.UID] && p.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
			default:
				o.fail("%s, of policy %+v, is to go with %s %s (%s)", c.Name, *p, r.Kind, r.Name, r.UID)
			}
		}
	}
	return all
}

// collectBut removes the claims none of whose owners is alive.
func (o *oracle) collectBut(alive map[string]bool) {
	o.t.Helper()
	for _, c := range o.claims() {
		if len(c.OwnerReferences) > 0 && !slices.ContainsFunc(c.OwnerReferences, func(r metav1.OwnerReference) bool { return alive[r.UID] }) {
			o.log = append(o.log, c.Name+" is collected")
			must(o.t, o.Delete(c, client.DeleteOptions{}))
		}
	}
}

// end lets the set go, after all has settled, and with it its pods: the claims of
// those go or stay as the policy says, and those of earlier ones stay if no policy
// takes them.
func (o *oracle) end() {
	before := o.keys("v1/persistentvolumeclaims")
	o.collectBut(nil)
	left := o.keys("v1/persistentvolumeclaims")
	if o.set(o.t).Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		if !slices.Equal(before, left) {
			o.fail("the set takes claims along that are to be kept: of %v stay %v", before, left)
		}
		return
	}
	for _, p := range o.pods() {
		if slices.Contains(left, "data-"+p.Name) {
			o.fail("data-%s stays, which is to go with the set", p.Name)
		}
	}
}

// settle lets all be well until nothing changes any more.
func (o *oracle) settle() {
	o.f.after = 1 << 30
	for quiet, left := 0, 200; quiet < 3 && left > 0; left-- {
		for _, p := range o.pods() {
			if !p.runningAndReady() || p.deleting() {
				o.attend(o.pod(o.t, p.Name))
			}
		}
		o.collect()
		before := o.f.after
		must(o.t, o.try())
		if quiet++; o.f.after != before {
			quiet = 0
		}
	}
	set := o.set(o.t)
	all := o.pods()
	s := set.Status
	n := int32(wanted(set))
	if len(all) != wanted(set) || s.Replicas != n || s.ReadyReplicas != n || s.AvailableReplicas != n || s.ObservedGeneration != set.Generation {
		o.fail("at the end there are %d pods", len(all))
	}
	part := int(*set.Spec.UpdateStrategy.RollingUpdate.Partition)
	for _, p := range all {
		m, _ := ordinalOf(set, p.Name)
		switch {
		case !inRange(set, m) || p.Labels[appsv1.StatefulSetPodNameLabel] != p.Name:
			o.fail("at the end there is %s with labels %v", p.Name, p.Labels)
		case m-start(set) >= part && p.revision() != s.UpdateRevision:
			o.fail("at the end %s is of %s", p.Name, p.revision())
		}
	}
	if part == 0 && s.CurrentRevision != s.UpdateRevision {
		o.fail("at the end the update is not complete")
	}
}

// TestOracle: whatever happens, and wherever the controller is killed, there are
// never two pods of one identity, the order and the partition are kept, no more pods
// are missing than may be, no claim goes that the policy keeps, and in the end all is
// as it was asked for.
func TestOracle(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := newOracle(t, seed)
			for range 80 {
				o.happen()
				if o.IntN(3) > 0 {
					o.f.after = 1 << 30
					if o.IntN(4) == 0 {
						o.f.after = o.IntN(6)
						o.log = append(o.log, fmt.Sprint("killed after ", o.f.after))
					}
					if err := o.try(); err != nil && o.f.after > 1000 {
						o.fail("reconcile: %v", err)
					}
				}
			}
			o.settle()
			o.end()
		})
	}
}
