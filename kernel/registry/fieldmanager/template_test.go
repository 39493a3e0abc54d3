package fieldmanager

import (
	"fmt"
	"log/slog"
	"math/rand"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/utils/clock"

	"github.com/google/go-cmp/cmp"

	kresource "github.com/pintle-io/pintle/kernel/resource"
)

// tracker writes an object's managedFields; a new one has no live state.
type tracker func(live, obj *corev1.Pod, manager, sub string) *corev1.Pod

// trackers are the ways of one Manager: by templates, and by the field manager
// every time.
func trackers(t *testing.T) (byTemplate, byManager tracker, known *templates) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	status := kresource.Subresource{Name: "status", Style: kresource.StyleStatus}
	table := &kresource.Table{Scheme: scheme, TypeConverter: applyconfigurations.NewTypeConverter(scheme),
		Definitions: []*kresource.Definition{{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1",
			KeyPrefix: "/registry/pods", Subresources: []kresource.Subresource{status}}}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	d := table.Definitions[0]
	f := New(Shared{Scheme: scheme, Convert: kresource.NewCodec(kresource.NewCatalog(table)), Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))},
		Kind{Definition: d, Types: table.TypesOf(d), Schema: table.TypeConverterOf(d), Go: reflect.TypeFor[*corev1.Pod]()})
	write := func(manager, sub string) Write {
		return Write{Manager: manager, Version: corev1.SchemeGroupVersion, Subresource: d.Subresource(sub)}
	}
	byTemplate = func(live, obj *corev1.Pod, manager, sub string) *corev1.Pod {
		if live == nil {
			return f.Create(write(manager, sub), obj).(*corev1.Pod)
		}
		return f.Update(write(manager, sub), live, obj).(*corev1.Pod)
	}
	byManager = func(live, obj *corev1.Pod, manager, sub string) *corev1.Pod {
		if live == nil {
			live = &corev1.Pod{}
		}
		return f.Track(write(manager, sub), live, obj).(*corev1.Pod)
	}
	return byTemplate, byManager, &f.templates
}

// ownership shows who owns what, and whose entry is new, but no times.
func ownership(p *corev1.Pod) (out []string) {
	for _, e := range p.ManagedFields {
		age := "old"
		if time.Since(e.Time.Time) < time.Hour {
			age = "now"
		}
		out = append(out, fmt.Sprint(e.Manager, " ", e.Operation, " ", e.APIVersion, " ", e.Subresource, " ", age, " ", e.FieldsV1))
	}
	return out
}

func randomPod(r *rand.Rand) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", r.Intn(100)), UID: "u"}}
	pick := func(n int) bool { return r.Intn(n) == 0 }
	for i := range r.Intn(3) {
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[fmt.Sprint("l", i)] = fmt.Sprint(r.Intn(2))
	}
	if pick(3) {
		p.Finalizers = []string{fmt.Sprint("f.io/", r.Intn(2)), "g.io/x"}
	}
	if pick(3) {
		p.OwnerReferences = []metav1.OwnerReference{{Name: "o", Kind: "K", APIVersion: "v1", UID: "ou"}}
	}
	for i := range 1 + r.Intn(2) {
		c := corev1.Container{Name: fmt.Sprint("c", i+r.Intn(2)*5), Image: fmt.Sprint("img", r.Intn(3))}
		for j := range r.Intn(3) {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprint("E", j), Value: fmt.Sprint(r.Intn(2))})
		}
		if pick(2) {
			c.Ports = []corev1.ContainerPort{{ContainerPort: int32(80 + r.Intn(2)), Protocol: "TCP"}}
		}
		if pick(2) {
			c.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse([]string{"1", "1000m", "2"}[r.Intn(3)])}
		}
		if pick(3) {
			yes := pick(2)
			c.SecurityContext = &corev1.SecurityContext{Privileged: &yes}
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	if pick(4) {
		p.Spec.Volumes = []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
			VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Name: []string{"", "t", "u"}[r.Intn(3)], Namespace: []string{"", "x"}[r.Intn(2)]}}}}}}
	} else if pick(3) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	}
	p.Spec.NodeName = []string{"", "n", "m"}[r.Intn(3)]
	if pick(2) {
		p.Spec.NodeSelector = map[string]string{"zone": fmt.Sprint(r.Intn(2))}
	}
	p.Status.Phase = []corev1.PodPhase{"", "Pending", "Running"}[r.Intn(3)]
	if pick(2) {
		p.Status.Conditions = []corev1.PodCondition{{Type: "Ready", Status: corev1.ConditionStatus(fmt.Sprint(r.Intn(2))),
			LastTransitionTime: metav1.Unix(int64(r.Intn(2)*100+1), 0)}}
	}
	if pick(3) {
		at := metav1.Unix(int64(r.Intn(3)), 0)
		p.Status.StartTime = &at
	}
	randomStatus(r, p)
	return p
}

// randomStatus has lists that grow, shrink and move, and lists of one key.
func randomStatus(r *rand.Rand, p *corev1.Pod) {
	pick := func(n int) bool { return r.Intn(n) == 0 }
	for _, i := range r.Perm(4)[:r.Intn(4)] {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodConditionType(fmt.Sprint("t", i)),
			Status: corev1.ConditionStatus(fmt.Sprint(r.Intn(2))), Message: fmt.Sprint(r.Intn(2))})
	}
	ip := func() string { return fmt.Sprint("10.0.0.", r.Intn(3)) }
	for range r.Intn(3) {
		if p.Status.PodIP = ip(); pick(4) {
			p.Spec.HostAliases = []corev1.HostAlias{{IP: ip(), Hostnames: []string{"a"}}}
		}
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip()})
	}
	if pick(2) {
		p.Status.HostIPs = []corev1.HostIP{{IP: ip()}}
	}
	if pick(3) {
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: []string{"name", "secret", "10.0.0.1", "s\"x", "volume"}[r.Intn(5)]}}
	}
	if pick(4) {
		p.Annotations = map[string]string{ip(): "", "secret": fmt.Sprint(r.Intn(2))}
	}
}

// altered changes some values, most often without another key.
func altered(r *rand.Rand, p *corev1.Pod) *corev1.Pod {
	if r.Intn(3) == 0 {
		q := randomPod(r)
		q.ManagedFields = p.ManagedFields
		return q
	}
	q := p.DeepCopy()
	for k := range q.Labels {
		q.Labels[k] = fmt.Sprint(r.Intn(3))
	}
	for i := range q.Spec.Containers {
		c := &q.Spec.Containers[i]
		c.Image = fmt.Sprint("img", r.Intn(3))
		if c.Resources.Requests != nil {
			c.Resources.Requests["cpu"] = resource.MustParse([]string{"1", "1000m", "2"}[r.Intn(3)])
		}
	}
	if q.Status.Phase != "" {
		q.Status.Phase = []corev1.PodPhase{"Pending", "Running"}[r.Intn(2)]
	}
	for i := range q.Status.Conditions {
		q.Status.Conditions[i].LastTransitionTime = metav1.Unix(int64(r.Intn(2)*100+1), 0)
	}
	if r.Intn(2) == 0 {
		s := &q.Status
		s.Conditions, s.PodIP, s.PodIPs, s.HostIPs = nil, "", nil, nil
		q.Spec.ImagePullSecrets, q.Spec.HostAliases, q.Annotations = nil, nil, nil
		randomStatus(r, q)
	}
	if r.Intn(4) == 0 {
		q.ManagedFields = nil
	}
	return q
}

// What a template says is what the field manager says, over random pods and
// random lives of updates by several managers.
func TestTemplatesAgreeWithTheFieldManager(t *testing.T) {
	byTemplate, byManager, _ := trackers(t)
	r := rand.New(rand.NewSource(1))
	managers, subs := []string{"alice", "bob", ""}, []string{"", "status"}
	for life := range 400 {
		obj := randomPod(r)
		manager := managers[r.Intn(len(managers))]
		got, want := byTemplate(nil, obj.DeepCopy(), manager, ""), byManager(nil, obj.DeepCopy(), manager, "")
		if diff := cmp.Diff(ownership(want), ownership(got)); diff != "" {
			t.Fatalf("life %d, create (-manager +template):\n%s", life, diff)
		}
		for step := range 6 {
			live := want
			for i := range live.ManagedFields { // long ago, so that "now" shows
				at := metav1.Unix(int64(1000000+i), 0)
				live.ManagedFields[i].Time = &at
			}
			next := altered(r, live)
			manager, sub := managers[r.Intn(len(managers))], subs[r.Intn(len(subs))]
			before := live.DeepCopy()
			got, want = byTemplate(live, next.DeepCopy(), manager, sub), byManager(live, next.DeepCopy(), manager, sub)
			if diff := cmp.Diff(ownership(want), ownership(got)); diff != "" {
				t.Fatalf("life %d, update %d by %q/%q (-manager +template):\n%s", life, step, manager, sub, diff)
			}
			if diff := cmp.Diff(before, live); diff != "" {
				t.Fatalf("the live object was changed:\n%s", diff)
			}
		}
	}
}

// Lists whose items come, go and move, keys that stand alone or elsewhere as
// well: in worlds so small that most updates have a template, what that says
// is what the field manager says.
func TestTemplatesOfListsAgreeWithTheFieldManager(t *testing.T) {
	keys := []string{"10.0.0.1", "10.0.0.2", "name"}
	for world, random := range map[string]func(r *rand.Rand, p *corev1.Pod){
		"conditions": func(r *rand.Rand, p *corev1.Pod) {
			for _, i := range r.Perm(3)[:r.Intn(4)] {
				p.Status.Conditions = append(p.Status.Conditions,
					corev1.PodCondition{Type: corev1.PodConditionType(fmt.Sprint("t", i)), LastTransitionTime: metav1.Unix(int64(r.Intn(2)+1), 0)})
			}
		},
		"lone keys": func(r *rand.Rand, p *corev1.Pod) {
			if r.Intn(3) > 0 {
				p.Status.PodIPs = []corev1.PodIP{{IP: keys[r.Intn(2)]}}
			}
			if r.Intn(3) > 0 {
				p.Status.HostIPs = []corev1.HostIP{{IP: keys[r.Intn(2)]}}
			}
		},
		"lone keys, others": func(r *rand.Rand, p *corev1.Pod) {
			for range r.Intn(2) + r.Intn(2) {
				p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: keys[r.Intn(3)]})
			}
			if r.Intn(2) > 0 {
				p.Spec.Containers = []corev1.Container{{Name: keys[r.Intn(3)]}}
			}
			if r.Intn(2) > 0 {
				p.Annotations = map[string]string{keys[r.Intn(3)]: fmt.Sprint(r.Intn(2))}
			}
		},
	} {
		for seed := range int64(8) { // what is known first differs
			t.Run(fmt.Sprint(world, seed), func(t *testing.T) { agreeInWorld(t, rand.New(rand.NewSource(seed)), random) })
		}
	}
}

func agreeInWorld(t *testing.T, r *rand.Rand, random func(r *rand.Rand, p *corev1.Pod)) {
	byTemplate, byManager, _ := trackers(t)
	var live *corev1.Pod
	for step := range 400 {
		if step%10 == 0 {
			live = byManager(nil, &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}}, "alice", "")
		}
		for i := range live.ManagedFields {
			at := metav1.Unix(int64(1000000+i), 0)
			live.ManagedFields[i].Time = &at
		}
		next := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ManagedFields: live.ManagedFields}}
		random(r, next)
		sub := []string{"", "status"}[r.Intn(2)]
		if sub == "" { // each path leaves the other's part as it was
			next.Status = live.Status
		} else {
			next.Spec = live.Spec
		}
		got, want := byTemplate(live, next.DeepCopy(), "bob", sub), byManager(live, next.DeepCopy(), "bob", sub)
		if diff := cmp.Diff(ownership(want), ownership(got)); diff != "" {
			t.Fatalf("step %d (-manager +template):\n%s", step, diff)
		}
		live = want
	}
}

// A template's metadata is owned like any other field.
func TestNamesOfTemplatesAreOwned(t *testing.T) {
	byTemplate, byManager, _ := trackers(t)
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
			VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Name: name}}}}}}}}
	}
	for _, name := range []string{"", "web"} {
		got, want := ownership(byTemplate(nil, pod(name), "alice", "")), ownership(byManager(nil, pod(name), "alice", ""))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("template name %q (-manager +template):\n%s", name, diff)
		}
	}
	live := byManager(nil, pod("web"), "alice", "")
	for _, name := range []string{"web", "db"} {
		next := pod(name)
		next.ManagedFields = live.ManagedFields
		got, want := ownership(byTemplate(live, next.DeepCopy(), "bob", "")), ownership(byManager(live, next.DeepCopy(), "bob", ""))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("template name web to %q (-manager +template):\n%s", name, diff)
		}
	}
}

// Comparing leaves the live object, which others read meanwhile, alone.
func TestTemplatesDoNotTouchQuantities(t *testing.T) {
	byTemplate, _, _ := trackers(t)
	q, err := resource.ParseQuantity("1Gi")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &q}}}}}}
	live := byTemplate(nil, pod, "alice", "")
	before := *live.Spec.Volumes[0].EmptyDir.SizeLimit
	next := live.DeepCopy()
	next.Labels = map[string]string{"a": "b"}
	byTemplate(live, next, "bob", "")
	if after := *live.Spec.Volumes[0].EmptyDir.SizeLimit; before != after {
		t.Errorf("the live object's quantity was %#v and is %#v", before, after)
	}
}

// What makes each pod of a template its own (addresses, container ids) makes
// no template of its own.
func TestPodsOfOneControllerShareTemplates(t *testing.T) {
	byTemplate, byManager, known := trackers(t)
	for i := range 20 {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), Labels: map[string]string{"app": "web"}}}
		p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
		p = byTemplate(nil, p, "rs", "")
		q := p.DeepCopy()
		ip := fmt.Sprint("10.244.0.", i)
		at := metav1.Unix(int64(i+1), 0)
		q.Status = corev1.PodStatus{Phase: "Running", StartTime: &at, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: "10.0.0.9", HostIPs: []corev1.HostIP{{IP: "10.0.0.9"}},
			Conditions:        []corev1.PodCondition{{Type: "Ready", Status: "False"}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web", ContainerID: fmt.Sprint("containerd://", i)}}}
		q = byTemplate(p, q, "node", "status")
		r := q.DeepCopy()
		r.Status.Conditions = append(r.Status.Conditions, corev1.PodCondition{Type: "Initialized", Status: "True"})
		r.Status.Conditions[0].Status = "True"
		got, want := ownership(byTemplate(q, r.DeepCopy(), "node", "status")), ownership(byManager(q, r.DeepCopy(), "node", "status"))
		slices.Sort(got) // entries of one second stand in another order
		slices.Sort(want)
		if !cmp.Equal(got, want) {
			t.Errorf("pod %d: %s", i, cmp.Diff(want, got))
		}
	}
	if len(known.created.m) != 1 || len(known.updated.m) != 2 {
		t.Errorf("%d templates of new pods and %d of updates, want 1 and 2", len(known.created.m), len(known.updated.m))
	}
}
