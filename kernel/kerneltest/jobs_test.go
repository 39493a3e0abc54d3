package kerneltest_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/standard"
)

// jobServer starts a server with controllers of what ships, with the
// permissions that they ship with, and a client that notes warnings.
func jobServer(t *testing.T, warned rest.WarningHandler, controllers ...string) *kubernetes.Clientset {
	t.Helper()
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if !slices.Contains(controllers, p.Name) {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative}}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	}})
	cfg := s.Admin()
	cfg.WarningHandler = warned
	return kerneltest.Client(t, cfg)
}

type warnings []string

func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// agent ends pods that run, as nodes would: each once, as told.
type agent struct {
	t    *testing.T
	c    *kubernetes.Clientset
	end  func(*corev1.Pod) corev1.PodPhase // "": it runs on
	seen map[string]*corev1.Pod
}

func (a *agent) look(ctx context.Context) {
	a.t.Helper()
	list, err := a.c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		if a.seen[p.Name] == nil {
			a.seen[p.Name] = p
		}
		phase := a.end(p)
		if phase == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		p.Status.Phase = phase
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: map[corev1.PodPhase]int32{corev1.PodFailed: 3}[phase], FinishedAt: metav1.NewTime(p.CreationTimestamp.Add(-3600e9))}}}}
		// One that changed meanwhile is looked at again.
		_, _ = a.c.CoreV1().Pods("default").UpdateStatus(ctx, p, metav1.UpdateOptions{})
	}
}

func batchJob(name string, change func(*batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}}
	j.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	change(&j.Spec)
	return j
}

func conditions(j *batchv1.Job) string {
	var out []string
	for _, c := range j.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
	}
	return strings.Join(out, ", ")
}

// TestJobs runs Jobs through the API, with the permissions that the controller
// ships with: what they count, what they end as, and that no pod is held back.
func TestJobs(t *testing.T) {
	var warned warnings
	c := jobServer(t, &warned, "job")
	ctx := t.Context()
	create := func(j *batchv1.Job) {
		t.Helper()
		if _, err := c.BatchV1().Jobs("default").Create(ctx, j, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) *batchv1.Job {
		t.Helper()
		j, err := c.BatchV1().Jobs("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	one, two, three := int32(1), int32(2), int32(3)
	yes, mode := true, batchv1.IndexedCompletion
	elsewhere := "example.com/mine"
	create(batchJob("indexed", func(s *batchv1.JobSpec) {
		s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimitPerIndex = &mode, &three, &two, &one
	}))
	create(batchJob("fails", func(s *batchv1.JobSpec) {
		s.Parallelism, s.Completions = &two, &two
		s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{3}}}}}
	}))
	create(batchJob("suspended", func(s *batchv1.JobSpec) { s.Suspend = &yes }))
	create(batchJob("elsewhere", func(s *batchv1.JobSpec) { s.ManagedBy = &elsewhere }))
	create(batchJob("goes", func(s *batchv1.JobSpec) { s.Parallelism = &two }))

	failedOnce := map[string]bool{}
	a := &agent{t: t, c: c, seen: map[string]*corev1.Pod{}, end: func(p *corev1.Pod) corev1.PodPhase {
		index := p.Labels[batchv1.JobCompletionIndexAnnotation]
		switch p.Labels[batchv1.JobNameLabel] {
		case "indexed":
			if index == "0" && p.Annotations[batchv1.JobIndexFailureCountAnnotation] == "0" {
				return corev1.PodFailed
			}
			return corev1.PodSucceeded
		case "fails":
			if len(failedOnce) == 0 || failedOnce[p.Name] {
				failedOnce[p.Name] = true
				return corev1.PodFailed
			}
		}
		return ""
	}}
	eventually(t, "jobs came to their ends", func() bool {
		a.look(ctx)
		return strings.Contains(conditions(read("indexed")), "Complete=True") && strings.Contains(conditions(read("fails")), "Failed=True") &&
			conditions(read("suspended")) == "Suspended=True JobSuspended" && read("goes").Status.Active == 2
	})

	j := read("indexed")
	if s := j.Status; s.Succeeded != 3 || s.Failed != 1 || s.CompletedIndexes != "0-2" || s.Active != 0 || *s.Ready != 0 || *s.Terminating != 0 || s.CompletionTime == nil {
		t.Errorf("indexed: %+v", s)
	}
	if got := conditions(j); got != "SuccessCriteriaMet=True CompletionsReached, Complete=True CompletionsReached" {
		t.Errorf("indexed: %s", got)
	}
	if s := read("fails").Status; s.Succeeded != 0 || s.Failed != 2 || conditions(read("fails")) != "FailureTarget=True PodFailurePolicy, Failed=True PodFailurePolicy" {
		t.Errorf("fails: %+v", s)
	}
	if s := read("suspended").Status; s.StartTime != nil || s.Active != 0 {
		t.Errorf("suspended: %+v", s)
	}
	if s := read("elsewhere").Status; s.StartTime != nil || s.Ready != nil {
		t.Errorf("what somebody else manages has a status: %+v", s)
	}
	for _, w := range warned {
		if strings.Contains(w, "nobody acts") {
			t.Errorf("warned: %s", w)
		}
	}

	// What a Job leaves is not held back: its pods go when they are deleted.
	background := metav1.DeletePropagationBackground
	if err := c.BatchV1().Jobs("default").Delete(ctx, "goes", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Pods("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pods are gone", func() bool {
		left, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "job-name in (goes,indexed,fails)"})
		if err != nil {
			t.Fatal(err)
		}
		return len(left.Items) == 0
	})
	if events := eventsOf(t, c, "indexed"); !slices.Contains(events, "Completed: Job completed") {
		t.Errorf("events: %q", events)
	}
	rv := read("suspended").ResourceVersion
	yes = false
	suspended := read("suspended")
	suspended.Spec.Suspend = &yes
	if _, err := c.BatchV1().Jobs("default").Update(ctx, suspended, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is resumed", func() bool {
		j := read("suspended")
		return j.ResourceVersion != rv && conditions(j) == "Suspended=False JobResumed" && j.Status.Active == 1 && j.Status.StartTime != nil
	})
}

// eventsOf are the events about an object, when one that ends its life is there.
func eventsOf(t *testing.T, c *kubernetes.Clientset, name string) (out []string) {
	t.Helper()
	eventually(t, "events", func() bool {
		list, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
		if err != nil {
			t.Fatal(err)
		}
		out = nil
		for _, e := range list.Items {
			out = append(out, e.Reason+": "+e.Message)
		}
		return len(out) > 0 && slices.ContainsFunc(out, func(s string) bool { return strings.HasPrefix(s, "Completed") })
	})
	return out
}
