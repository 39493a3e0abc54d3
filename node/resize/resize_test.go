package resize_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// requirements reads "cpu/cpu limit memory/memory limit", "-" for none.
func requirements(text string) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	names := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	for i, part := range strings.Fields(text) {
		request, limit, _ := strings.Cut(part, "/")
		if request != "-" {
			r.Requests[names[i]] = resource.MustParse(request)
		}
		if limit != "-" {
			r.Limits[names[i]] = resource.MustParse(limit)
		}
	}
	return r
}

func container(name, resources string, restart ...corev1.ResourceName) corev1.Container {
	c := corev1.Container{Name: name, Resources: requirements(resources)}
	for _, r := range restart {
		c.ResizePolicy = append(c.ResizePolicy, corev1.ContainerResizePolicy{ResourceName: r, RestartPolicy: corev1.RestartContainer})
	}
	return c
}

func pod(containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "u"}, Spec: corev1.PodSpec{Containers: containers}}
}

func limits(p *corev1.Pod) cgroup.Limits { return podspec.PodLimits(p, 0) }

// describe is work in one line: group bounds in Mi and milli-CPU.
func describe(w resize.Work) string {
	group := func(l cgroup.Limits) string {
		memory := l.Memory
		if memory > 0 {
			memory = memory>>20 - 32 // room for the runtime
		}
		return fmt.Sprintf("%d/%d", l.CPUQuota/100, memory)
	}
	out := group(w.Before)
	for _, u := range w.Updates {
		out += " update " + u.Name
	}
	for _, id := range w.Replace {
		out += " replace " + id
	}
	if w.After != nil {
		out += " " + group(*w.After)
	}
	return out
}

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		was, is  []corev1.Container
		phase    state.Phase
		busy     string
		replaced []string
		want     string
	}{
		"grows: the group first":        {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/40m 10Mi/50Mi")}, phase: state.Running, want: "40/50 update a 40/50"},
		"shrinks: the group last":       {was: []corev1.Container{container("a", "10m/40m 10Mi/50Mi")}, is: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, phase: state.Running, want: "40/50 update a 20/20"},
		"one up, the other down":        {was: []corev1.Container{container("a", "10m/20m 10Mi/50Mi")}, is: []corev1.Container{container("a", "10m/40m 10Mi/20Mi")}, phase: state.Running, want: "40/50 update a 40/20"},
		"memory is given back first":    {was: []corev1.Container{container("a", "1m/- 1Mi/20Mi"), container("b", "1m/- 1Mi/90Mi")}, is: []corev1.Container{container("a", "1m/- 1Mi/30Mi"), container("b", "1m/- 1Mi/50Mi")}, phase: state.Running, want: "0/110 update b update a 0/80"},
		"a bound for what had none":     {was: []corev1.Container{container("a", "10m/- 10Mi/-")}, is: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, phase: state.Running, want: "0/0 update a 20/20"},
		"one without a limit, no bound": {was: []corev1.Container{container("a", "1m/20m 1Mi/20Mi"), container("b", "1m/- 1Mi/-")}, is: []corev1.Container{container("a", "1m/40m 1Mi/50Mi"), container("b", "1m/- 1Mi/-")}, phase: state.Running, want: "0/0 update a 0/0"},
		"only a request":                {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/20m 15Mi/20Mi")}, phase: state.Running, want: "20/20 update a 20/20"},
		"a restart for memory":          {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/20m 10Mi/10Mi", corev1.ResourceMemory)}, phase: state.Running, want: "20/20 replace a"},
		"none for CPU":                  {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/30m 10Mi/20Mi", corev1.ResourceMemory)}, phase: state.Running, want: "30/20 update a 30/20"},
		"its successor is to come":      {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/20m 10Mi/10Mi", corev1.ResourceMemory)}, phase: state.Exited, replaced: []string{"a"}, want: "20/20 replace a"},
		"one that ended by itself":      {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/20m 10Mi/10Mi", corev1.ResourceMemory)}, phase: state.Exited, want: "20/20 20/10"},
		"one that is being made":        {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/40m 10Mi/50Mi")}, phase: state.Running, busy: "a", want: "40/50"},
		"nothing runs":                  {was: []corev1.Container{container("a", "10m/20m 10Mi/20Mi")}, is: []corev1.Container{container("a", "10m/40m 10Mi/50Mi")}, phase: state.Created, want: "40/50 40/50"},
		"another way of writing it":     {was: []corev1.Container{container("a", "10m/1 10Mi/1Gi")}, is: []corev1.Container{container("a", "0.01/1000m 10240Ki/1024Mi")}, phase: state.Running, want: "1000/1024 1000/1024"},
	} {
		t.Run(name, func(t *testing.T) {
			r := resize.Record{Allocated: resize.Of(pod(c.was...)), Replaced: c.replaced}
			is := pod(c.is...)
			r.Grant(is, limits)
			seen := &state.Pod{}
			for i := range c.was {
				seen.Containers = append(seen.Containers, state.Container{ID: c.was[i].Name, Name: c.was[i].Name, Phase: c.phase, Granted: &c.was[i].Resources})
			}
			w := resize.Next(is, seen, &r, limits(is), func(n string) bool { return n == c.busy })
			if got := describe(w); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestWhole: a container without a limit of its own follows the pod's.
func TestWhole(t *testing.T) {
	whole := func(limits string) *corev1.Pod {
		p := pod(container("a", "10m/- 10Mi/-"), container("b", "10m/20m 10Mi/20Mi"))
		r := requirements(limits)
		p.Spec.Resources = &r
		return p
	}
	was, is := whole("100m/100m 100Mi/100Mi"), whole("200m/200m 50Mi/50Mi")
	r := resize.Record{Allocated: resize.Of(was)}
	r.Grant(is, limits)
	if got := r.Has().Limits.Cpu().MilliValue(); got != 100 {
		t.Errorf("it has %d before the end", got)
	}
	seen := &state.Pod{}
	for i := range was.Spec.Containers {
		c := &was.Spec.Containers[i]
		granted := podspec.Effective(was, c)
		seen.Containers = append(seen.Containers, state.Container{ID: c.Name, Name: c.Name, Phase: state.Running, Granted: &granted})
	}
	w := resize.Next(is, seen, &r, limits(is), func(string) bool { return false })
	if got := describe(w); got != "200/100 update a 200/50" {
		t.Errorf("got %q", got)
	}
	if l := w.Updates[0].Resources.Limits; l.Cpu().MilliValue() != 200 || l.Memory().Value() != 50<<20 {
		t.Errorf("a is bounded by %v", l)
	}
	r.Done()
	if got := r.Has().Limits.Cpu().MilliValue(); got != 200 || r.Applying {
		t.Errorf("it has %d in the end", got)
	}
}

// TestSecondGrant: what the first one has not done yet still counts.
func TestSecondGrant(t *testing.T) {
	big, small := pod(container("a", "10m/90m 10Mi/90Mi")), pod(container("a", "10m/20m 10Mi/20Mi"))
	r := resize.Record{Allocated: resize.Of(big)}
	r.Grant(small, limits)
	middle := pod(container("a", "10m/40m 10Mi/40Mi"))
	r.Grant(middle, limits)
	seen := &state.Pod{Containers: []state.Container{{ID: "a", Name: "a", Phase: state.Running, Granted: &big.Spec.Containers[0].Resources}}}
	if got := describe(resize.Next(middle, seen, &r, limits(middle), func(string) bool { return false })); got != "90/90 update a 40/40" {
		t.Errorf("got %q", got)
	}
}

func TestCheck(t *testing.T) {
	const mi = 1 << 20
	for name, c := range map[string]struct {
		was, is string
		used    map[string]int64 // "" is the pod
		want    string
	}{
		"enough is left":        {"10m/- 10Mi/50Mi", "10m/- 10Mi/20Mi", map[string]int64{"": 10 * mi, "a": 10 * mi}, ""},
		"it is in use":          {"10m/- 10Mi/50Mi", "10m/- 10Mi/20Mi", map[string]int64{"": 30 * mi, "a": 20 * mi}, `cannot decrease memory limits: attempting to set container "a" memory limit (20971520) below current usage (20971520)`},
		"by the pod too":        {"10m/- 10Mi/50Mi", "10m/- 10Mi/20Mi", map[string]int64{"": 60 * mi, "a": 20 * mi}, `cannot decrease memory limits: [attempting to set pod memory limit (54525952) below current usage (62914560), attempting to set container "a" memory limit (20971520) below current usage (20971520)]`},
		"a first limit":         {"10m/- 10Mi/-", "10m/- 10Mi/20Mi", map[string]int64{"": 10 * mi, "a": 21 * mi}, `cannot decrease memory limits: attempting to set container "a" memory limit (20971520) below current usage (22020096)`},
		"more is nobody's loss": {"10m/- 10Mi/20Mi", "10m/- 10Mi/50Mi", map[string]int64{"": 1 << 40, "a": 1 << 40}, ""},
		"not known":             {"10m/- 10Mi/50Mi", "10m/- 10Mi/20Mi", map[string]int64{"": 1}, `cannot decrease memory limits: memory usage of container "a": no such group`},
	} {
		t.Run(name, func(t *testing.T) {
			was, is := pod(container("a", c.was)), pod(container("a", c.is))
			r := resize.Record{Allocated: resize.Of(was)}
			r.Grant(is, limits)
			seen := &state.Pod{Containers: []state.Container{{ID: "a", Name: "a", Phase: state.Running, Granted: &was.Spec.Containers[0].Resources}}}
			w := resize.Next(is, seen, &r, limits(is), func(string) bool { return false })
			err := w.Check(func(id string) (int64, error) {
				if n, ok := c.used[id]; ok {
					return n, nil
				}
				return 0, errors.New("no such group")
			})
			if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestApply(t *testing.T) {
	was := pod(container("a", "10m/20m 10Mi/20Mi"), container("b", "1m/- 1Mi/-"))
	a := resize.Of(was)
	if a.Apply(was) != was {
		t.Error("a copy of what is the same")
	}
	is := pod(container("a", "99m/99m 10Mi/20Mi"), container("b", "1m/- 1Mi/-"))
	is.Generation = 2
	got := a.Apply(is)
	if q := got.Spec.Containers[0].Resources.Limits.Cpu(); q.MilliValue() != 20 || got.Generation != 2 {
		t.Errorf("got %v of generation %d", q, got.Generation)
	}
	if q := is.Spec.Containers[0].Resources.Limits.Cpu(); q.MilliValue() != 99 {
		t.Error("the pod was changed")
	}
}

func TestCompare(t *testing.T) {
	at := func(n int64) *resize.Condition { return &resize.Condition{Since: time.Unix(n, 0)} }
	wait := func(name, is string, priority int32, c *resize.Condition) resize.Waiting {
		p := pod(container("a", is))
		p.UID, p.Spec.Priority = types.UID(name), &priority
		return resize.Waiting{Desired: p, Allocated: pod(container("a", "10m/- 10Mi/-")), Pending: c}
	}
	list := []resize.Waiting{
		wait("shrinks", "5m/- 10Mi/-", -5, nil),
		wait("important", "20m/- 10Mi/-", 9, nil),
		wait("guaranteed", "20m/20m 20Mi/20Mi", 0, nil),
		wait("old", "20m/- 10Mi/-", 0, at(1)),
		wait("young", "20m/- 10Mi/-", 0, at(2)),
		wait("new", "20m/- 10Mi/-", 0, nil),
	}
	names := func() (out []string) {
		for _, w := range list {
			out = append(out, string(w.Desired.UID))
		}
		return out
	}
	want := names()
	slices.Reverse(list)
	slices.SortFunc(list, resize.Compare)
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDescribe(t *testing.T) {
	p := pod(corev1.Container{Name: "a"})
	p.Spec.InitContainers = []corev1.Container{{Name: "i", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}}}}
	want := `Pod resize OutOfcpu: {"initContainers":[{"name":"i","resources":{"limits":{"cpu":"2"}}}],"containers":[{"name":"a","resources":{}}],"generation":3,"error":"no room"}`
	if got := resize.Describe("Pod resize OutOfcpu", p, 3, "no room"); got != want {
		t.Errorf("got %s", got)
	}
}
