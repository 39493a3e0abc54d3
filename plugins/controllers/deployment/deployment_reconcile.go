package deployment

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// Annotations and labels that kubectl and upstream's tools read.
const (
	hashLabel          = "pod-template-hash"
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
	lastApplied        = "kubectl.kubernetes.io/last-applied-configuration"
)

// plan is what one round does.
type plan struct {
	create *appsv1.ReplicaSet
	update []change
	remove []*appsv1.ReplicaSet
	status appsv1.DeploymentStatus
	undo   *undo // of a rollout, when that is asked for
	// annotateRevision is the revision that the Deployment shows.
	annotateRevision string
	// again asks for another look after this time.
	again time.Duration
}

// change is a ReplicaSet to update; from is its scale before.
type change struct {
	set  *appsv1.ReplicaSet
	from int32
}

// round is the state that makePlan works on. Sets in it may be changed only
// through set.
type round struct {
	d        *appsv1.Deployment
	current  *appsv1.ReplicaSet // of the present template; nil when there is none yet
	old      []*appsv1.ReplicaSet
	edits    edits
	surge    int32 // pods allowed above the wanted number
	unavail  int32 // pods that may be missing
	replicas int32
}

func newRound(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (*round, error) {
	r := &round{d: d, current: findNew(d, sets), edits: edits{}, replicas: *d.Spec.Replicas}
	for _, rs := range sets {
		if rs != r.current {
			r.old = append(r.old, rs)
		}
	}
	slices.SortFunc(r.old, byAge)
	return r, r.bounds()
}

// allOf are the sets of a round, the present template's first.
func allOf(r *round) []*appsv1.ReplicaSet {
	if r.current == nil {
		return r.old
	}
	return append([]*appsv1.ReplicaSet{r.current}, r.old...)
}

// makePlan decides one round from what is there. oldPods is the number of
// pods of old templates that still exist (Recreate only).
func makePlan(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, oldPods int, now time.Time) (*plan, error) {
	r, err := newRound(d, sets)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	if d.DeletionTimestamp != nil {
		p.status = counts(r, nil, now) // the garbage collector takes it from here
		return p, nil
	}
	r.keep()
	to, back := rollbackTo(d)
	switch {
	case d.Spec.Paused:
		r.proportional()
	case back && r.current != nil:
		p.undo = pastOf(r).undo(to)
	case back: // what it is at now must have a revision first
		p.create = r.newSet(r.newSize())
	case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		p.create = r.recreate(oldPods) // it knows one size only: scaling is no case of its own
	case r.scaling():
		r.proportional()
	default:
		p.create = r.roll()
	}
	if p.create == nil && p.undo == nil && (d.Spec.Paused || r.complete(&d.Status)) {
		p.remove = r.history()
	}
	for _, id := range slices.Sorted(keys(r.edits)) {
		p.update = append(p.update, *r.edits[id])
	}
	cur := r.current
	if p.create != nil {
		cur = p.create
	}
	if cur != nil {
		p.annotateRevision = r.edits.view(cur).Annotations[revisionAnnotation]
	}
	p.status, p.again = r.status(p.create, now)
	return p, nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), cmp.Compare(a.Name, b.Name))
}

// bounds resolves maxSurge and maxUnavailable as upstream does: surge rounds
// up, unavailable down, and both zero would never move.
func (r *round) bounds() error {
	ru := r.d.Spec.Strategy.RollingUpdate
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	if ru == nil {
		ru = &appsv1.RollingUpdateDeployment{}
	}
	if ru.MaxSurge != nil {
		n, err := ru.MaxSurge.Scaled(int(r.replicas), true)
		if err != nil {
			return fmt.Errorf("spec.strategy.rollingUpdate.maxSurge: %w", err)
		}
		r.surge = int32(n)
	}
	if ru.MaxUnavailable != nil {
		n, err := ru.MaxUnavailable.Scaled(int(r.replicas), false)
		if err != nil {
			return fmt.Errorf("spec.strategy.rollingUpdate.maxUnavailable: %w", err)
		}
		r.unavail = int32(n)
	}
	if r.surge == 0 && r.unavail == 0 {
		r.unavail = 1
	}
	r.unavail = min(r.unavail, r.replicas)
	return nil
}

// edits are the sets that a round changes, by UID.
type edits map[string]*change

// view is the set as it will be after the round.
func (e edits) view(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if c := e[rs.UID]; c != nil && rs.UID != "" {
		return c.set
	}
	return rs
}

// edit makes a private copy of a set for the plan.
func (e edits) edit(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if c := e[rs.UID]; c != nil {
		return c.set
	}
	c := &change{set: client.Clone(rs), from: *rs.Spec.Replicas}
	e[rs.UID] = c
	return c.set
}

// scale sets the number of pods of a set and the annotations that tell with
// which sizes it was scaled.
func (r *round) scale(rs *appsv1.ReplicaSet, n int32) {
	v := r.edits.view(rs)
	desired, most := strconv.Itoa(int(r.replicas)), strconv.Itoa(int(r.replicas+r.surge))
	if *v.Spec.Replicas == n && v.Annotations[desiredAnnotation] == desired && v.Annotations[maxAnnotation] == most {
		return
	}
	e := r.edits.edit(rs)
	e.Spec.Replicas = &n
	a := annotations(e)
	a[desiredAnnotation], a[maxAnnotation] = desired, most
}

// size is how many pods a set, which may be nil, will have.
func (e edits) size(rs *appsv1.ReplicaSet) int32 {
	if rs == nil {
		return 0
	}
	return *e.view(rs).Spec.Replicas
}

func (r *round) total() int32 {
	n := r.edits.size(r.current)
	for _, rs := range r.old {
		n += r.edits.size(rs)
	}
	return n
}

// available counts the pods that will be left of those available: a set whose
// status lags behind its scale counts with its scale.
func (r *round) available() (n int32) {
	for _, rs := range append([]*appsv1.ReplicaSet{r.current}, r.old...) {
		if rs != nil {
			n += min(rs.Status.AvailableReplicas, r.edits.size(rs))
		}
	}
	return n
}

// scaling tells that the Deployment's size changed since its active sets were
// last scaled.
func (r *round) scaling() bool {
	for _, rs := range append([]*appsv1.ReplicaSet{r.current}, r.old...) {
		if rs == nil || *rs.Spec.Replicas == 0 {
			continue
		}
		if d, ok := number(rs, desiredAnnotation); ok && d != r.replicas {
			return true
		}
	}
	return false
}

// proportional spreads a change of size over the sets of a rollout in
// proportion to their sizes, so that the risk stays where it was.
func (r *round) proportional() {
	active := r.active()
	if len(active) <= 1 {
		rs := r.current
		switch {
		case len(active) == 1:
			rs = active[0]
		case rs == nil && len(r.old) > 0:
			rs = r.old[len(r.old)-1] // the youngest
		}
		if rs != nil {
			r.scale(rs, r.replicas)
		}
		return
	}
	if r.saturated() {
		for _, rs := range r.old {
			r.scale(rs, 0)
		}
		r.scale(r.current, r.replicas)
		return
	}
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return
	}
	r.spread(active)
}

func (r *round) active() []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, rs := range append(slices.Clone(r.old), r.current) {
		if rs != nil && *rs.Spec.Replicas > 0 {
			out = append(out, rs)
		}
	}
	return out
}

// saturated tells that the new set carries everything already.
func (r *round) saturated() bool {
	rs := r.current
	if rs == nil {
		return false
	}
	d, ok := number(rs, desiredAnnotation)
	return ok && d == *rs.Spec.Replicas && *rs.Spec.Replicas == r.replicas && rs.Status.AvailableReplicas == r.replicas
}

func (r *round) spread(active []*appsv1.ReplicaSet) {
	allowed := r.replicas
	if r.replicas > 0 {
		allowed += r.surge
	}
	total := r.total()
	add := allowed - total
	// Scaling up feeds the largest and newest first, scaling down takes from
	// the largest and oldest first.
	slices.SortStableFunc(active, func(a, b *appsv1.ReplicaSet) int {
		age := byAge(a, b)
		if add > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas), age)
	})
	left := add
	sizes := make([]int32, len(active))
	for i, rs := range active {
		sizes[i] = *rs.Spec.Replicas
		share := r.share(rs, allowed, add, left)
		sizes[i] += share
		left -= share
	}
	sizes[0] = max(sizes[0]+left, 0)
	for i, rs := range active {
		r.scale(rs, sizes[i])
	}
}

// share is the part of a change of size that falls to one set.
func (r *round) share(rs *appsv1.ReplicaSet, allowed, add, left int32) int32 {
	if *rs.Spec.Replicas == 0 || add == 0 || left == 0 {
		return 0
	}
	before, ok := number(rs, maxAnnotation)
	if !ok || before == 0 {
		before = r.d.Status.Replicas
	}
	switch {
	case r.replicas == 0:
		return max(-*rs.Spec.Replicas, left) // all of it, whatever it was before
	case before == 0:
		return 0
	}
	want := roundHalfUp(int64(*rs.Spec.Replicas)*int64(allowed), int64(before)) - *rs.Spec.Replicas
	if add > 0 {
		return min(max(want, 0), left)
	}
	return max(min(want, 0), left)
}

func roundHalfUp(a, b int64) int32 { return int32((2*a + b) / (2 * b)) }

// number is a size that an annotation of a set says; ok is false for what is none.
func number(rs *appsv1.ReplicaSet, annotation string) (n int32, ok bool) {
	v, err := strconv.ParseUint(rs.Annotations[annotation], 10, 31)
	return int32(v), err == nil
}

// roll does one round of a rolling update.
func (r *round) roll() *appsv1.ReplicaSet {
	if r.current == nil {
		return r.newSet(r.newSize())
	}
	if n := r.newSize(); n != *r.current.Spec.Replicas || r.edits.view(r.current).Annotations[desiredAnnotation] == "" {
		r.scale(r.current, n)
		if n != *r.current.Spec.Replicas {
			return nil // one thing a round: the next sees its effect
		}
	}
	r.shrinkOld()
	return nil
}

// newSize is how large the new set may be now.
func (r *round) newSize() int32 {
	have := r.edits.size(r.current)
	if have > r.replicas {
		return r.replicas
	}
	if have == r.replicas {
		return have
	}
	room := max(r.replicas+r.surge-r.total(), 0)
	return have + min(room, r.replicas-have)
}

// shrinkOld scales old sets down as far as availability allows: first pods
// that do not work anyway, then the oldest.
func (r *round) shrinkOld() {
	var oldTotal int32
	for _, rs := range r.old {
		oldTotal += r.edits.size(rs)
	}
	if oldTotal == 0 {
		return
	}
	floor := r.replicas - r.unavail
	notYet := r.edits.size(r.current) - min(r.current.Status.AvailableReplicas, r.edits.size(r.current))
	room := r.total() - floor - notYet
	if room <= 0 {
		return
	}
	for _, rs := range r.old { // unhealthy first
		broken := min(r.edits.size(rs)-rs.Status.AvailableReplicas, room)
		if broken > 0 {
			r.scale(rs, r.edits.size(rs)-broken)
			room -= broken
		}
	}
	spare := r.available() - floor
	for _, rs := range r.old {
		take := min(r.edits.size(rs), spare)
		if take > 0 {
			r.scale(rs, r.edits.size(rs)-take)
			spare -= take
		}
	}
}

// recreate empties the old sets, waits for their pods to go, then fills the
// new one.
func (r *round) recreate(oldPods int) *appsv1.ReplicaSet {
	shrunk := false
	for _, rs := range r.old {
		if *rs.Spec.Replicas > 0 {
			r.scale(rs, 0)
			shrunk = true
		}
	}
	if shrunk || oldPods > 0 {
		return nil
	}
	if r.current == nil {
		return r.newSet(r.replicas)
	}
	r.scale(r.current, r.replicas)
	return nil
}

// keep brings what the current set takes over from the Deployment up to date.
func (r *round) keep() {
	if r.current == nil {
		return
	}
	r.number()
	v := r.edits.view(r.current)
	if v.Spec.MinReadySeconds != r.d.Spec.MinReadySeconds {
		r.edits.edit(r.current).Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
	}
	for k, want := range r.d.Annotations {
		if have, ok := v.Annotations[k]; copied(k) && (!ok || have != want) {
			e := r.edits.edit(r.current)
			annotations(e)[k] = want
		}
	}
}

func annotations(rs *appsv1.ReplicaSet) map[string]string {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	return rs.Annotations
}

// number gives the current set the highest revision; a template that was
// used before (an undone rollout) takes a new one and remembers the old.
func (r *round) number() {
	next := r.maxOld() + 1
	have := revision(r.current)
	if have >= next {
		return
	}
	a := annotations(r.edits.edit(r.current))
	if have > 0 {
		a[historyAnnotation] = remember(a[historyAnnotation], have)
	}
	a[revisionAnnotation] = strconv.Itoa(next)
}

// maxHistory bounds the annotation of past revisions, as upstream does.
const maxHistory = 2000

// remember adds a revision to a list and drops the oldest beyond the bound.
func remember(list string, revision int) string {
	if list == "" {
		return strconv.Itoa(revision)
	}
	list += "," + strconv.Itoa(revision)
	for len(list) > maxHistory {
		_, list, _ = strings.Cut(list, ",")
	}
	return list
}

func (r *round) maxOld() int {
	most := 0
	for _, rs := range r.old {
		most = max(most, revision(rs))
	}
	return most
}

func revision(rs *appsv1.ReplicaSet) int {
	n, err := strconv.Atoi(rs.Annotations[revisionAnnotation])
	if err != nil {
		return 0
	}
	return n
}

// copied tells whether a ReplicaSet takes over an annotation of its Deployment
// (such as kubernetes.io/change-cause, which rollout history shows).
func copied(key string) bool {
	switch key {
	case lastApplied, revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation, rollbackAnnotation:
		return false
	}
	return true
}

// maxName is the longest name of an object.
const maxName = 253

// newSet is the ReplicaSet of the present template.
func (r *round) newSet(n int32) *appsv1.ReplicaSet {
	t := client.Clone(&r.d.Spec.Template)
	hash := templateHash(r.d)
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[hashLabel] = hash
	sel := client.Clone(r.d.Spec.Selector)
	if sel.MatchLabels == nil {
		sel.MatchLabels = map[string]string{}
	}
	sel.MatchLabels[hashLabel] = hash
	rs := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: &n, MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: sel, Template: *t}}
	rs.Name, rs.Namespace = r.d.Name[:min(len(r.d.Name), maxName-1-len(hash))]+"-"+hash, r.d.Namespace
	rs.Labels = client.Clone(t).Labels
	rs.Annotations = map[string]string{
		revisionAnnotation: strconv.Itoa(r.maxOld() + 1),
		desiredAnnotation:  strconv.Itoa(int(r.replicas)),
		maxAnnotation:      strconv.Itoa(int(r.replicas + r.surge)),
	}
	for k, v := range r.d.Annotations {
		if copied(k) {
			rs.Annotations[k] = v
		}
	}
	rs.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(r.d, "apps/v1", "Deployment")}
	return rs
}

// history lists the oldest of the old sets beyond the history limit, as far as
// they are empty.
func (r *round) history() []*appsv1.ReplicaSet {
	limit := r.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return nil
	}
	alive := slices.DeleteFunc(slices.Clone(r.old), func(rs *appsv1.ReplicaSet) bool { return rs.DeletionTimestamp != nil })
	slices.SortFunc(alive, func(a, b *appsv1.ReplicaSet) int { return cmp.Or(cmp.Compare(revision(a), revision(b)), byAge(a, b)) })
	return slices.DeleteFunc(alive[:max(len(alive)-int(*limit), 0)], func(rs *appsv1.ReplicaSet) bool {
		return *rs.Spec.Replicas != 0 || rs.Status.Replicas != 0 || rs.Status.ObservedGeneration < rs.Generation || r.edits[rs.UID] != nil
	})
}

// safe holds the letters of names that spell no words, as upstream's
// SafeEncodeString has them.
const safe = "bcdfghjklmnpqrstvwxz2456789"

// templateHash names the ReplicaSet of the present template. It need not be
// upstream's value, only stable for one Deployment.
func templateHash(d *appsv1.Deployment) string {
	h := fnv.New32a()
	h.Write(canonical(&d.Spec.Template))
	if n := d.Status.CollisionCount; n != nil {
		fmt.Fprintf(h, "/%d", *n)
	}
	digits := strconv.FormatUint(uint64(h.Sum32()), 10)
	out := make([]byte, len(digits))
	for i := range digits {
		out[i] = safe[int(digits[i])%len(safe)]
	}
	return string(out)
}
