package statefulset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// newSet asks for n pods.
func newSet(n int32, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	labels := map[string]string{"app": "web"}
	zero, limit := int32(0), int32(10)
	s := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &n, ServiceName: "web", Selector: &metav1.LabelSelector{MatchLabels: labels}, RevisionHistoryLimit: &limit,
		UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &zero}}}}
	s.Name, s.Namespace, s.UID, s.Generation = "web", "default", "set", 3
	s.Spec.Template.Labels = labels
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "one"}}
	for _, f := range change {
		f(s)
	}
	return s
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }
func onDelete(s *appsv1.StatefulSet) {
	s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
}
func deleted(s *appsv1.StatefulSet) { at := ago(0); s.DeletionTimestamp = &at }
func from(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: n} }
}
func partition(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &n }
}
func missing(v intstr.IntOrString) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable = &v }
}
func minReady(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.MinReadySeconds = n }
}
func storage(s *appsv1.StatefulSet) {
	t := corev1.PersistentVolumeClaim{}
	t.Name, t.Labels = "data", map[string]string{"tier": "db"}
	s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{t}
}

// retention is the policy when the set is deleted, and when it is scaled.
func retention(deleted, scaled appsv1.PersistentVolumeClaimRetentionPolicyType) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) {
		storage(s)
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: deleted, WhenScaled: scaled}
	}
}

// newPodOf makes a pod from words: its ordinal first, then "ready" or another
// state, "old" for the revision before the update, "deleting" and so on.
func newPodOf(set *appsv1.StatefulSet, words string) *pod {
	f := strings.Fields(words)
	p := &pod{}
	p.Name, p.Namespace = set.Name+"-"+f[0], set.Namespace
	p.UID = "uid-" + p.Name
	p.Labels = map[string]string{"app": "web", appsv1.StatefulSetPodNameLabel: p.Name, appsv1.PodIndexLabel: f[0], appsv1.StatefulSetRevisionLabel: "new"}
	p.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(set, apiVersion, kind)}
	p.Status.Phase = corev1.PodRunning
	for _, t := range set.Spec.VolumeClaimTemplates {
		p.Spec.Volumes = append(p.Spec.Volumes, volume{t.Name, &claimName{t.Name + "-" + p.Name}})
	}
	ready := func(status corev1.ConditionStatus, at metav1.Time) {
		p.Status.Conditions = []condition{{Type: corev1.PodReady, Status: status, LastTransitionTime: at}}
	}
	for _, w := range f[1:] {
		switch w {
		case "ready":
			ready(corev1.ConditionTrue, ago(time.Hour))
		case "fresh": // ready since ten seconds
			ready(corev1.ConditionTrue, ago(10*time.Second))
		case "unready":
			ready(corev1.ConditionFalse, ago(time.Minute))
		case "pending":
			p.Status.Phase = corev1.PodPending
		case "failed":
			p.Status.Phase = corev1.PodFailed
		case "succeeded":
			p.Status.Phase = corev1.PodSucceeded
		case "old":
			p.Labels[appsv1.StatefulSetRevisionLabel] = "old"
		case "older":
			p.Labels[appsv1.StatefulSetRevisionLabel] = "older"
		case "deleting":
			at := ago(0)
			p.DeletionTimestamp = &at
		case "nameless":
			delete(p.Labels, appsv1.StatefulSetPodNameLabel)
		case "diskless":
			p.Spec.Volumes = nil
		default:
			panic(w)
		}
	}
	return p
}

// newClaimOf makes a claim from words: its name, then who owns it.
func newClaimOf(set *appsv1.StatefulSet, words string) *claim {
	f := strings.Fields(words)
	c := &claim{}
	c.Name, c.UID = f[0], "uid-"+f[0]
	add := func(o metav1.OwnerReference) { c.OwnerReferences = append(c.OwnerReferences, o) }
	name := strings.TrimPrefix(c.Name, "data-")
	for _, w := range f[1:] {
		switch w {
		case "set's":
			add(metav1.NewControllerRef(set, apiVersion, kind))
		case "pod's":
			add(metav1.NewControllerRef(&metav1.ObjectMeta{Name: name, UID: "uid-" + name}, "v1", "Pod"))
		case "earlier-pod's":
			add(metav1.NewControllerRef(&metav1.ObjectMeta{Name: name, UID: "gone"}, "v1", "Pod"))
		case "earlier-set's":
			add(metav1.NewControllerRef(&metav1.ObjectMeta{Name: set.Name, UID: "gone"}, apiVersion, kind))
		case "set's-loosely":
			o := metav1.NewControllerRef(set, apiVersion, kind)
			o.Controller = nil
			add(o)
		case "other's":
			add(metav1.NewControllerRef(&metav1.ObjectMeta{Name: "x", UID: "x"}, "v1", "ConfigMap"))
		case "deleting":
			at := ago(0)
			c.DeletionTimestamp = &at
		default:
			panic(w)
		}
	}
	return c
}

// words tells what a plan does: groups separated by "; ".
func words(p *plan) string {
	var groups []string
	for _, g := range p.groups {
		var parts []string
		for _, a := range g {
			parts = append(parts, a.words())
		}
		groups = append(groups, strings.Join(parts, ", "))
	}
	return strings.Join(groups, "; ")
}

func (a action) words() string {
	s := string(a.verb) + " " + a.name
	if a.verb == create {
		s += "@" + a.revision
	}
	if len(a.missing) > 0 {
		s += fmt.Sprint(" claims", a.missing)
	}
	if a.held != "" {
		s += " held by " + a.held
	}
	if a.labels != nil {
		s += " labels"
	}
	for _, v := range a.volumes {
		s += " volume " + v.Claim.ClaimName
	}
	for _, o := range a.owners {
		var to []string
		for _, r := range o.refs {
			to = append(to, r.Kind)
		}
		s += fmt.Sprintf(" %s to %v", o.claim.Name, to)
	}
	for _, f := range a.foreign {
		s += " not " + f
	}
	return s
}

// planOf plans with pods and claims in words.
func planOf(set *appsv1.StatefulSet, pods, claims string) *plan {
	st := &state{set: set, current: "old", update: "new", now: now, claims: map[string]*claim{}}
	for w := range strings.SplitSeq(pods, ",") {
		if w = strings.TrimSpace(w); w != "" {
			st.pods = append(st.pods, newPodOf(set, w))
		}
	}
	for w := range strings.SplitSeq(claims, ",") {
		if w = strings.TrimSpace(w); w != "" {
			c := newClaimOf(set, w)
			st.claims[c.Name] = c
		}
	}
	return makePlan(st)
}

type planCase struct {
	set  *appsv1.StatefulSet
	pods string
	want string
}

func (c planCase) test(t *testing.T, claims string) {
	t.Helper()
	if diff := cmp.Diff(c.want, words(planOf(c.set, c.pods, claims))); diff != "" {
		t.Errorf("with pods %q: plan (-want +got):\n%s", c.pods, diff)
	}
}

// In order, pods come one after the other, and go the other way.
func TestOrdered(t *testing.T) {
	for name, c := range map[string]planCase{
		"the first":                           {newSet(3), "", "create web-0@new"},
		"the next when the first is ready":    {newSet(3), "0 ready", "create web-1@new"},
		"waits for one that is not ready":     {newSet(3), "0 unready", ""},
		"waits for one that is pending":       {newSet(3), "0 pending", ""},
		"waits for one that ends":             {newSet(3), "0 ready deleting", ""},
		"waits until ready for long enough":   {newSet(3, minReady(30)), "0 fresh", ""},
		"goes on when ready for long enough":  {newSet(3, minReady(10)), "0 fresh", "create web-1@new"},
		"fills a gap":                         {newSet(3), "0 ready, 2 ready", "create web-1@new"},
		"is content":                          {newSet(3), "2 ready, 0 ready, 1 ready", ""},
		"a failed pod is removed":             {newSet(3), "0 ready, 1 failed, 2 ready", "delete web-1"},
		"a succeeded pod is removed":          {newSet(3), "0 succeeded", "delete web-0"},
		"a failed pod that goes is awaited":   {newSet(3), "0 failed deleting", ""},
		"the last goes first":                 {newSet(1), "0 ready, 1 ready, 2 ready", "delete web-2"},
		"one after the other goes":            {newSet(1), "0 ready, 1 ready, 2 ready deleting", ""},
		"none goes while the wanted are away": {newSet(1), "0 unready, 1 ready", ""},
		"none goes before the wanted is made": {newSet(1), "1 ready", "create web-0@new"},
		"the one that is unwell goes":         {newSet(0), "0 ready, 1 unready", "delete web-1"},
		"not while another one is unwell":     {newSet(0), "0 unready, 1 unready", ""},
		"a healthy one goes all the same":     {newSet(0), "0 unready, 1 ready", "delete web-1"},
		"the last one":                        {newSet(0), "0 unready", "delete web-0"},
		"nothing for a set that is deleted":   {newSet(3, deleted), "0 failed", ""},
		"counts from the start":               {newSet(2, from(5)), "5 ready", "create web-6@new"},
		"below the start it is too much":      {newSet(2, from(2)), "1 ready, 2 ready, 3 ready", "delete web-1"},
		"labels are mended":                   {newSet(2), "0 ready nameless, 1 ready", "update web-0 labels"},
		"not before it is ready":              {newSet(2), "0 unready nameless", ""},
		"mends and goes on":                   {newSet(2), "0 ready nameless", "update web-0 labels; create web-1@new"},
		"ignores strange names":               {newSet(1), "0 ready, 01 ready", ""},
	} {
		t.Run(name, func(t *testing.T) { c.test(t, "") })
	}
}

func TestParallel(t *testing.T) {
	for name, c := range map[string]planCase{
		"all at once":                       {newSet(3, parallel), "", "create web-0@new, create web-1@new, create web-2@new"},
		"whatever the others do":            {newSet(3, parallel), "0 unready, 1 pending", "create web-2@new"},
		"removes what failed beside":        {newSet(3, parallel), "0 failed", "delete web-0, create web-1@new, create web-2@new"},
		"all go at once":                    {newSet(0, parallel), "0 unready, 1 ready, 2 ready deleting", "delete web-1, delete web-0"},
		"mends what is not ready, too":      {newSet(2, parallel), "0 unready nameless, 1 pending nameless", "update web-0 labels, update web-1 labels"},
		"makes, removes and updates":        {newSet(3, parallel), "0 ready old, 1 ready, 4 ready", "create web-2@new; delete web-4"},
		"a failed pod is removed once":      {newSet(1, parallel), "0 failed old", "delete web-0"},
		"one that ends is not made anew":    {newSet(1, parallel), "0 ready deleting", ""},
		"starts where it is told":           {newSet(2, parallel, from(7)), "0 ready", "create web-7@new, create web-8@new; delete web-0"},
		"nothing for a set that is deleted": {newSet(3, parallel, deleted), "0 ready", ""},
	} {
		t.Run(name, func(t *testing.T) { c.test(t, "") })
	}
}

func TestRollingUpdate(t *testing.T) {
	two, half, tiny := intstr.FromInt(2), intstr.FromString("50%"), intstr.FromString("1%")
	for name, c := range map[string]planCase{
		"the last first":                            {newSet(3), "0 ready old, 1 ready old, 2 ready old", "delete web-2"},
		"then the one before":                       {newSet(3), "0 ready old, 1 ready old, 2 ready", "delete web-1"},
		"waits for the new one":                     {newSet(3), "0 ready old, 1 ready old, 2 unready", ""},
		"waits until it is available":               {newSet(3, minReady(30)), "0 ready old, 1 ready old, 2 fresh", ""},
		"makes the new one of the update":           {newSet(3), "0 ready old, 1 ready old", "create web-2@new"},
		"a broken template stops it":                {newSet(3), "0 ready old, 1 ready old, 2 unready older", ""},
		"not below the partition":                   {newSet(3, partition(2)), "0 ready old, 1 ready old, 2 ready", ""},
		"below the partition the old is made":       {newSet(3, partition(2)), "0 ready old, 2 ready", "create web-1@old"},
		"above the partition the new is made":       {newSet(3, partition(2)), "0 ready old, 1 ready old", "create web-2@new"},
		"the partition counts from the start":       {newSet(2, partition(1), from(4)), "4 ready old, 5 ready old", "delete web-5"},
		"and so does what is made":                  {newSet(2, partition(1), from(4)), "5 ready", "create web-4@old"},
		"OnDelete removes none":                     {newSet(2, onDelete), "0 ready old, 1 ready old", ""},
		"OnDelete makes the new one":                {newSet(2, onDelete), "1 ready old", "create web-0@new"},
		"two may be missing":                        {newSet(4, missing(two)), "0 ready old, 1 ready old, 2 ready old, 3 ready old", "delete web-3; delete web-2"},
		"half of them":                              {newSet(4, missing(half)), "0 ready old, 1 ready old, 2 ready old, 3 ready", "delete web-2; delete web-1"},
		"at least one":                              {newSet(3, missing(tiny)), "0 ready old, 1 ready old, 2 ready old", "delete web-2"},
		"scaling down comes first":                  {newSet(1), "0 ready old, 1 ready old", "delete web-1"},
		"in parallel one at a time, too":            {newSet(3, parallel), "0 ready old, 1 ready old, 2 ready old", "delete web-2"},
		"in parallel it waits for the new one":      {newSet(3, parallel), "0 ready old, 1 ready old, 2 unready", ""},
		"in parallel what ends counts":              {newSet(3, parallel, missing(two)), "0 ready old, 1 ready old, 2 ready old deleting", "delete web-1"},
		"in parallel a bad template is left behind": {newSet(3, parallel), "0 ready old, 1 unready older, 2 unready older", "delete web-2, delete web-1"},
		"what is bad first, then within the budget": {newSet(4, parallel, missing(two)), "0 unready old, 1 ready old, 2 ready old, 3 ready old", "delete web-0; delete web-3"},
		"in parallel not below the partition":       {newSet(3, parallel, partition(2)), "0 unready old, 1 ready old, 2 ready", ""},
		"in parallel what is made now is missing":   {newSet(3, parallel), "0 ready old, 1 ready old", "create web-2@new"},
	} {
		t.Run(name, func(t *testing.T) { c.test(t, "") })
	}
}

func TestNoRollingUpdateParameters(t *testing.T) {
	set := newSet(2)
	set.Spec.UpdateStrategy.RollingUpdate = nil
	set.Status.CurrentReplicas = 1
	planCase{set, "1 ready old", "create web-0@old"}.test(t, "")
	planCase{set, "0 ready old", "create web-1@new"}.test(t, "")
}

func TestClaims(t *testing.T) {
	const keep, drop = appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	for name, c := range map[string]struct {
		planCase
		claims string
	}{
		"made before the pod":                      {planCase{newSet(1, storage), "", "create web-0@new claims[0]"}, ""},
		"one that is there is used":                {planCase{newSet(1, storage), "", "create web-0@new"}, "data-web-0"},
		"one that is going is awaited":             {planCase{newSet(1, storage), "", "create web-0@new held by data-web-0"}, "data-web-0 deleting"},
		"a pending pod's is made again":            {planCase{newSet(1, storage), "0 pending", "prepare web-0 claims[0]"}, ""},
		"a pending pod has what it needs":          {planCase{newSet(1, storage), "0 pending", ""}, "data-web-0"},
		"that of a running pod is not":             {planCase{newSet(1, storage), "0 ready", ""}, ""},
		"volumes are mended":                       {planCase{newSet(1, storage), "0 ready diskless", "update web-0 claims[0] volume data-web-0"}, ""},
		"kept: nobody's":                           {planCase{newSet(1, retention(keep, keep)), "0 ready", "update web-0 data-web-0 to []"}, "data-web-0 set's"},
		"kept: others are no affair":               {planCase{newSet(1, retention(keep, keep)), "0 ready", ""}, "data-web-0 other's"},
		"goes with the set":                        {planCase{newSet(1, retention(drop, keep)), "0 ready", "update web-0 data-web-0 to [StatefulSet]"}, "data-web-0"},
		"goes with the set: it is so":              {planCase{newSet(1, retention(drop, keep)), "0 ready", ""}, "data-web-0 set's"},
		"goes with the set: as its controller":     {planCase{newSet(1, retention(drop, keep)), "0 ready", "update web-0 data-web-0 to [StatefulSet]"}, "data-web-0 set's-loosely"},
		"goes with the set, not with the pod":      {planCase{newSet(0, retention(drop, keep)), "0 ready", "prepare web-0 data-web-0 to [StatefulSet]; delete web-0"}, "data-web-0 pod's"},
		"goes with the pod: first it is its":       {planCase{newSet(0, retention(keep, drop)), "0 ready", "prepare web-0 data-web-0 to [Pod]; delete web-0"}, "data-web-0"},
		"goes with the pod: it is so":              {planCase{newSet(0, retention(keep, drop)), "0 ready", "delete web-0"}, "data-web-0 pod's"},
		"wanted again, it stays":                   {planCase{newSet(1, retention(keep, drop)), "0 ready", "update web-0 data-web-0 to []"}, "data-web-0 pod's"},
		"with both: from the set to the pod":       {planCase{newSet(0, retention(drop, drop)), "0 ready", "prepare web-0 data-web-0 to [Pod]; delete web-0"}, "data-web-0 set's"},
		"with both: and back":                      {planCase{newSet(1, retention(drop, drop)), "0 ready", "update web-0 data-web-0 to [StatefulSet]"}, "data-web-0 pod's"},
		"all that go are prepared first":           {planCase{newSet(0, retention(keep, drop)), "0 ready, 1 ready", "prepare web-1 data-web-1 to [Pod]; prepare web-0 data-web-0 to [Pod]; delete web-1"}, "data-web-0, data-web-1"},
		"one about to go blocks the pod":           {planCase{newSet(1, retention(keep, drop)), "", ""}, "data-web-0 earlier-pod's"},
		"it does not when kept":                    {planCase{newSet(1, retention(drop, keep)), "", "create web-0@new not data-web-0"}, "data-web-0 earlier-pod's"},
		"somebody else's is told of":               {planCase{newSet(1, retention(drop, drop)), "", "create web-0@new not data-web-0"}, "data-web-0 other's"},
		"somebody else's is not ours besides":      {planCase{newSet(1, retention(drop, drop)), "0 ready", "update web-0 data-web-0 to [ConfigMap] not data-web-0"}, "data-web-0 set's other's"},
		"an earlier set's is left alone":           {planCase{newSet(1, retention(drop, keep)), "0 ready", ""}, "data-web-0 earlier-set's"},
		"given when the pod is made":               {planCase{newSet(1, retention(drop, keep)), "", "create web-0@new data-web-0 to [StatefulSet]"}, "data-web-0"},
		"below the start: with the pod":            {planCase{newSet(1, retention(keep, drop), from(1)), "0 ready, 1 ready", "prepare web-0 data-web-0 to [Pod]; delete web-0"}, "data-web-0, data-web-1"},
		"in parallel one about to go blocks alone": {planCase{newSet(2, retention(keep, drop), parallel), "", "create web-1@new claims[0]"}, "data-web-0 earlier-pod's"},
	} {
		t.Run(name, func(t *testing.T) { c.test(t, c.claims) })
	}
}

func TestStatus(t *testing.T) {
	zero := int32(0)
	for name, c := range map[string]struct {
		set   *appsv1.StatefulSet
		pods  string
		want  appsv1.StatefulSetStatus
		again time.Duration
	}{
		"empty": {newSet(3), "", appsv1.StatefulSetStatus{CurrentRevision: "old", UpdateRevision: "new"}, 0},
		"midway": {newSet(4), "0 ready old, 1 ready, 2 unready, 3 ready old deleting",
			appsv1.StatefulSetStatus{Replicas: 4, ReadyReplicas: 3, AvailableReplicas: 3, CurrentReplicas: 1, UpdatedReplicas: 2, CurrentRevision: "old", UpdateRevision: "new"}, 0},
		"one is removed for the update": {newSet(2), "0 ready old, 1 ready old",
			appsv1.StatefulSetStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, CurrentReplicas: 1, CurrentRevision: "old", UpdateRevision: "new"}, 0},
		"one of neither is removed": {newSet(1), "0 ready older",
			appsv1.StatefulSetStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "old", UpdateRevision: "new"}, 0},
		"complete": {newSet(2), "0 ready, 1 ready",
			appsv1.StatefulSetStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, CurrentReplicas: 2, UpdatedReplicas: 2, CurrentRevision: "new", UpdateRevision: "new"}, 0},
		"of none": {newSet(0), "", appsv1.StatefulSetStatus{CurrentRevision: "new", UpdateRevision: "new"}, 0},
		"not available yet": {newSet(2, minReady(60)), "0 ready, 1 fresh",
			appsv1.StatefulSetStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 1, CurrentReplicas: 2, UpdatedReplicas: 2, CurrentRevision: "new", UpdateRevision: "new"}, 50 * time.Second},
		"too many": {newSet(1), "0 ready, 1 ready",
			appsv1.StatefulSetStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 2, CurrentRevision: "old", UpdateRevision: "new"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.ObservedGeneration, c.want.CollisionCount = 3, &zero
			p := planOf(c.set, c.pods, "")
			if diff := cmp.Diff(c.want, p.status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if p.again != c.again {
				t.Errorf("looks again in %v, want %v", p.again, c.again)
			}
		})
	}
}

// However many pods are asked for, a round is no larger than a batch.
func TestBatches(t *testing.T) {
	p := planOf(newSet(1<<30, parallel), "", "")
	if len(p.groups) != 1 || len(p.groups[0]) != minBatch || !p.more {
		t.Errorf("the first round makes %d groups, more %v", len(p.groups), p.more)
	}
	if p := planOf(newSet(1<<30), "", ""); words(p) != "create web-0@new" || p.more {
		t.Errorf("in order: %s, more %v", words(p), p.more)
	}
	st := &state{set: newSet(0, parallel), current: "new", update: "new", now: now}
	for i := range 3000 {
		st.pods = append(st.pods, newPodOf(st.set, fmt.Sprint(i, " ready")))
	}
	if p := makePlan(st); len(p.groups) != 1 || len(p.groups[0]) != maxBatch || p.groups[0][0].name != "web-2999" || !p.more {
		t.Errorf("removes %d groups, more %v", len(p.groups), p.more)
	}
	if got := claimNames(newSet(1<<30, parallel, storage), nil); len(got) != minBatch || got[minBatch-1] != "data-web-499" {
		t.Errorf("asks for %d claims", len(got))
	}
	if got := claimNames(newSet(1<<30, storage), []*pod{newPodOf(newSet(1), "0 ready"), newPodOf(newSet(1), "7 ready")}); !cmp.Equal(got, []string{"data-web-0", "data-web-1", "data-web-7"}) {
		t.Errorf("in order: asks for claims %v", got)
	}
}

func TestOrdinals(t *testing.T) {
	set := newSet(1)
	for name, want := range map[string]int{"web-0": 0, "web-10": 10, "web-2147483647": 2147483647,
		"web": -1, "web-": -1, "web-01": -1, "web-+1": -1, "web--1": -1, "web-1-1": -1, "other-1": -1, "web-2147483648": -1, "web-x": -1} {
		n, ok := ordinalOf(set, name)
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("ordinal of %s = %d, want %d", name, n, want)
		}
	}
}
