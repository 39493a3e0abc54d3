package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// told is a plan as a line: "create 0 1/2 remove a b end Reason: message more wait 10s".
func told(p plan) string {
	var out []string
	if len(p.create) > 0 {
		out = append(out, "create")
	}
	for _, c := range p.create {
		s := fmt.Sprint(c.index)
		if c.failures+c.ignored > 0 {
			s += fmt.Sprintf("/%d", c.failures)
		}
		if c.ignored > 0 {
			s += fmt.Sprintf("+%d", c.ignored)
		}
		out = append(out, s)
	}
	if len(p.remove) > 0 {
		out = append(out, "remove")
	}
	var names []string
	for _, x := range p.remove {
		names = append(names, x.Name)
	}
	slices.Sort(names)
	out = append(out, names...)
	if p.end != nil {
		out = append(out, fmt.Sprintf("%s %s", p.end.Type, p.end.Reason))
	}
	if p.wait != 0 {
		out = append(out, "wait "+p.wait.String())
	}
	return strings.Join(out, " ")
}

func successPolicy(indexes string, count int32) changeJob {
	return func(j *batchv1.Job) {
		r := batchv1.SuccessPolicyRule{}
		if indexes != "" {
			r.SucceededIndexes = &indexes
		}
		if count > 0 {
			r.SucceededCount = &count
		}
		j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{r}}
	}
}

func deletedJob(j *batchv1.Job) { at := metav1.NewTime(now); j.DeletionTimestamp = &at }

func restartsOnFailure(j *batchv1.Job) {
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
}

// Each case is a state and what is done about it.
func TestDecide(t *testing.T) {
	long := time.Hour
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []*pod
		want string
	}{
		"begins with its parallelism":       {newJob(5, 2), nil, "create -1 -1"},
		"no more than are left to do":       {jobWith(newJob(5, 3), counted(4, 0)), nil, "create -1"},
		"a success is replaced by the next": {newJob(5, 2), []*pod{podOf("a", exited(0, 0)), podOf("b")}, "create -1"},
		"done, one is counted":              {jobWith(newJob(2, 2), counted(1, 0)), []*pod{podOf("a", exited(0, 0))}, ""},
		"one that was counted counts once":  {jobWith(newJob(3, 3), counted(1, 0)), []*pod{podOf("a", exited(0, 0), let)}, "create -1 -1"},
		"parallelism falls":                 {newJob(5, 1), []*pod{podOf("a"), podOf("b", pending), podOf("c", unplaced)}, "remove b c"},
		"parallelism of none":               {newJob(5, 0), []*pod{podOf("a")}, "remove a"},
		"without completions, one is enough": {jobWith(newJob(1, 3), anyNumber), []*pod{podOf("a", exited(0, 0)), podOf("b")},
			""},
		"without completions, none yet": {jobWith(newJob(1, 2), anyNumber), []*pod{podOf("a")}, "create -1"},

		"suspended from the start":   {jobWith(newJob(2, 2), pause), nil, ""},
		"suspended while it runs":    {jobWith(newJob(2, 2), pause), []*pod{podOf("a"), podOf("b")}, "remove a b"},
		"suspended past its time":    {jobWith(newJob(2, 2), pause, startedFor(long), deadline(5)), nil, ""},
		"deleted: pods are left":     {jobWith(newJob(2, 2), deletedJob), []*pod{podOf("a")}, ""},
		"within its time":            {jobWith(newJob(1, 1), startedFor(20*time.Second), deadline(30)), []*pod{podOf("a")}, "wait 10s"},
		"past its time":              {jobWith(newJob(1, 1), startedFor(30*time.Second), deadline(30)), []*pod{podOf("a")}, "remove a FailureTarget DeadlineExceeded"},
		"what was decided stays":     {jobWith(newJob(1, 1), said(batchv1.JobFailureTarget, "Before")), []*pod{podOf("a")}, "remove a FailureTarget Before"},
		"success that stands, stays": {jobWith(newJob(9, 1), said(batchv1.JobSuccessCriteriaMet, "Before"), limit(0)), []*pod{podOf("a", exited(1, 0))}, "SuccessCriteriaMet Before"},

		"a failure, too early to retry":       {newJob(1, 1), []*pod{podOf("a", exited(1, 4*time.Second))}, "wait 6s"},
		"a failure, time to retry":            {newJob(1, 1), []*pod{podOf("a", exited(1, 10*time.Second))}, "create -1"},
		"the second failure waits for longer": {newJob(1, 1), []*pod{podOf("a", exited(1, 20*time.Second)), podOf("b", exited(1, 5*time.Second))}, "wait 15s"},
		"a failure that was counted too":      {jobWith(newJob(1, 1), counted(0, 1)), []*pod{podOf("a", exited(1, 4*time.Second), let)}, "wait 6s"},
		"a success since forgives":            {newJob(3, 1), []*pod{podOf("a", exited(1, 4*time.Second)), podOf("b", exited(0, time.Second))}, "create -1"},
		"ten minutes is the longest": {jobWith(newJob(1, 1), limit(100)), many(40, exited(1, time.Minute)),
			"wait 9m0s"},
		"the last failure it may have":  {jobWith(newJob(1, 1), limit(1), counted(0, 0)), []*pod{podOf("a", exited(1, long))}, "create -1"},
		"one failure too many":          {jobWith(newJob(3, 1), limit(1), counted(0, 1)), []*pod{podOf("a", exited(1, 0)), podOf("b")}, "remove b FailureTarget BackoffLimitExceeded"},
		"uncounted failures count":      {jobWith(newJob(3, 1), limit(1), uncounted("x", "y")), []*pod{podOf("b")}, "remove b FailureTarget BackoffLimitExceeded"},
		"restarts in place":             {jobWith(newJob(1, 1), restartsOnFailure, limit(3)), []*pod{podOf("a", restarted(2))}, ""},
		"too many restarts in place":    {jobWith(newJob(1, 1), restartsOnFailure, limit(3)), []*pod{podOf("a", restarted(3))}, "remove a FailureTarget BackoffLimitExceeded"},
		"restarts of who may not":       {jobWith(newJob(1, 1), restartsOnFailure, limit(0)), []*pod{podOf("a", restarted(1))}, "remove a FailureTarget BackoffLimitExceeded"},
		"a pod is being deleted":        {newJob(1, 1), []*pod{podOf("a", deleted)}, "wait 10s"},
		"it is replaced when it failed": {jobWith(newJob(1, 1), patient), []*pod{podOf("a", deleted)}, ""},
		"it did":                        {jobWith(newJob(1, 1), patient), []*pod{podOf("a", deleted, exited(1, long))}, "create -1"},

		"indexes, the first":         {jobWith(newJob(5, 2), inIndexes), nil, "create 0 1"},
		"indexes that are missing":   {jobWith(newJob(6, 4), inIndexes, completed("0,2")), []*pod{podOf("a", at("3"))}, "create 1 4 5"},
		"an index twice":             {jobWith(newJob(5, 2), inIndexes), []*pod{podOf("a", at("0"), pending), podOf("b", at("0"))}, "remove a"},
		"pods without a valid index": {jobWith(newJob(2, 5), inIndexes), []*pod{podOf("a"), podOf("b", at("2")), podOf("c", at("x")), podOf("d", at("0"))}, "remove a b c"},
		"an index again":             {jobWith(newJob(2, 2), inIndexes), []*pod{podOf("a", at("0"), exited(1, long)), podOf("b", at("1"))}, "create 0"},
		"an index that terminates":   {jobWith(newJob(3, 2), inIndexes, patient), []*pod{podOf("a", at("0"), deleted)}, "create 1"},
		"shrunk":                     {jobWith(newJob(2, 2), inIndexes, completed("0-1,3")), []*pod{podOf("a", at("2"))}, "remove a"},

		"index failed once":         {jobWith(newJob(2, 2), perIndex(1)), []*pod{podOf("a", at("0"), exited(1, long)), podOf("b", at("1"))}, "create 0/1"},
		"each index by its own":     {jobWith(newJob(2, 2), perIndex(9)), []*pod{podOf("a", at("0"), failedBefore("2", "1"), exited(1, time.Minute)), podOf("b", at("1"), exited(1, time.Minute))}, "create 1/1 wait 20s"},
		"the one with the count":    {jobWith(newJob(1, 1), perIndex(9)), []*pod{podOf("a", at("0"), failedBefore("1", "0"), exited(1, long)), podOf("b", at("0"), exited(1, 2*long))}, "create 0/2"},
		"a failure that ended well": {jobWith(newJob(1, 1), perIndex(9), uncounted("a")), []*pod{podOf("a", at("0"), failedBefore("1", "0"), exited(0, long))}, "create 0/2"},
		"index failed for good":     {jobWith(newJob(2, 2), perIndex(0)), []*pod{podOf("a", at("0"), exited(1, long)), podOf("b", at("1"))}, ""},
		"all indexes came to ends":  {jobWith(newJob(2, 2), perIndex(0)), []*pod{podOf("a", at("0"), exited(1, long)), podOf("b", at("1"), exited(0, long))}, "FailureTarget FailedIndexes"},
		"too many failed indexes":   {jobWith(newJob(3, 3), perIndex(0), maxFailed(0)), []*pod{podOf("a", at("0"), exited(1, long)), podOf("b", at("1"))}, "remove b FailureTarget MaxFailedIndexesExceeded"},
		"FailIndex":                 {jobWith(newJob(2, 1), perIndex(5), judgedBy(onExit("FailIndex", 3))), []*pod{podOf("a", at("0"), exited(3, long))}, "create 1"},
		"an index's failure is not": {jobWith(newJob(1, 1), perIndex(0), judgedBy(onDisruption("Ignore"))), []*pod{podOf("a", at("0"), exited(3, long), disrupted)}, "create 0/0+1"},

		"FailJob":                  {jobWith(newJob(3, 2), judgedBy(onExit("FailJob", 3))), []*pod{podOf("a", exited(3, 0)), podOf("b")}, "remove b FailureTarget PodFailurePolicy"},
		"another exit":             {jobWith(newJob(3, 2), judgedBy(onExit("FailJob", 3))), []*pod{podOf("a", exited(4, long)), podOf("b")}, "create -1"},
		"Ignore":                   {jobWith(newJob(1, 1), limit(0), judgedBy(onDisruption("Ignore"), onExit("FailJob", 3))), []*pod{podOf("a", exited(3, long), disrupted)}, "create -1"},
		"Count":                    {jobWith(newJob(1, 1), limit(0), judgedBy(onExit("Count", 3))), []*pod{podOf("a", exited(3, long))}, "FailureTarget BackoffLimitExceeded"},
		"an action of the future":  {jobWith(newJob(1, 1), judgedBy(onExit("Pray", 3), onExit("FailJob", 3))), []*pod{podOf("a", exited(3, long))}, "FailureTarget PodFailurePolicy"},
		"not of one that may yet":  {jobWith(newJob(1, 1), patient, judgedBy(onDisruption("FailJob"))), []*pod{podOf("a", deleted, disrupted)}, ""},
		"success of some":          {jobWith(newJob(5, 5), inIndexes, successPolicy("0,3-4", 0), completed("0,3")), []*pod{podOf("a", at("4"), exited(0, 0)), podOf("b", at("1"))}, "remove b SuccessCriteriaMet SuccessPolicy"},
		"success of not enough":    {jobWith(newJob(3, 3), inIndexes, successPolicy("0-1", 0), completed("0")), []*pod{podOf("b", at("1")), podOf("c", at("2"))}, ""},
		"success of a number":      {jobWith(newJob(5, 5), inIndexes, successPolicy("", 2), completed("0")), []*pod{podOf("a", at("4"), exited(0, 0)), podOf("b", at("1"))}, "remove b SuccessCriteriaMet SuccessPolicy"},
		"success of some of some":  {jobWith(newJob(5, 5), inIndexes, successPolicy("0-2", 2), completed("0,2")), []*pod{podOf("b", at("1"))}, "remove b SuccessCriteriaMet SuccessPolicy"},
		"failure comes before it":  {jobWith(newJob(5, 5), inIndexes, limit(0), successPolicy("", 1), completed("0")), []*pod{podOf("b", at("1"), exited(1, 0))}, "FailureTarget BackoffLimitExceeded"},
		"a policy that is unknown": {jobWith(newJob(1, 1), inIndexes, successPolicy("x", 0), completed("0")), nil, ""},
		"a container that is not it": {jobWith(newJob(1, 1), func(j *batchv1.Job) {
			other, r := "other", onExit("FailJob", 3)
			r.OnExitCodes.ContainerName = &other
			judgedBy(r)(j)
		}), []*pod{podOf("a", exited(3, long))}, "create -1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(decide(look(c.job, c.pods, nil, now), backoff{})); got != c.want {
				t.Errorf("%s\nwant: %s", got, c.want)
			}
		})
	}
}

func many(n int, changes ...changePod) (out []*pod) {
	for i := range n {
		out = append(out, podOf(fmt.Sprint("p", i), changes...))
	}
	return out
}

// A batch is bounded, and asks for the next.
func TestBatches(t *testing.T) {
	p := decide(look(newJob(5000, 1200), nil, nil, now), backoff{})
	if len(p.create) != maxBatch || !p.more {
		t.Errorf("%d created at once, more %v", len(p.create), p.more)
	}
	p = decide(look(newJob(5000, 1), many(1200), nil, now), backoff{})
	if len(p.remove) != maxBatch || !p.more {
		t.Errorf("%d removed at once, more %v", len(p.remove), p.more)
	}
}

// With a limit for each index, only what may be made now asks for another batch.
func TestBatchesOfIndexes(t *testing.T) {
	pods := func(from, to int, changes ...changePod) (out []*pod) {
		for i := from; i < to; i++ {
			out = append(out, podOf(fmt.Sprint("p", i), append([]changePod{at(fmt.Sprint(i))}, changes...)...))
		}
		return out
	}
	job := func(changes ...changeJob) *batchv1.Job {
		return jobWith(newJob(2000, 2000), append([]changeJob{perIndex(5)}, changes...)...)
	}
	for name, c := range map[string]struct {
		job     *batchv1.Job
		pods    []*pod
		created int
		first   int
		more    bool
		wait    time.Duration
	}{
		"all":                          {job(), nil, 500, 0, true, 0},
		"as many as there is room for": {job(), pods(0, 1500), 500, 1500, false, 0},
		"the first wait":               {job(), pods(0, 600, exited(1, 0)), 500, 600, true, 10 * time.Second},
		"the last wait":                {job(), pods(500, 2000, exited(1, 0)), 500, 0, false, 10 * time.Second},
		"all that are missing wait":    {job(), append(pods(0, 600, exited(1, 0)), pods(600, 2000)...), 0, 0, false, 10 * time.Second},
		"the first failed for good":    {job(broken("0-599")), nil, 500, 600, true, 0},
		"the others run":               {job(broken("0-599")), pods(600, 2000), 0, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := decide(look(c.job, c.pods, nil, now), backoff{})
			if len(p.create) != c.created || p.more != c.more || p.wait != c.wait {
				t.Errorf("%d created, more %v, wait %v, want %d, %v, %v", len(p.create), p.more, p.wait, c.created, c.more, c.wait)
			}
			if len(p.create) > 0 && p.create[0].index != c.first {
				t.Errorf("the first is of index %d, want %d", p.create[0].index, c.first)
			}
		})
	}
}

// What is remembered of pods that are gone delays the next as well.
func TestRecall(t *testing.T) {
	before := backoff{failures: 2, last: now.Add(-5 * time.Second)}
	for name, c := range map[string]struct {
		pods []*pod
		want string
	}{
		"nothing is left":       {nil, "wait 15s"},
		"another":               {[]*pod{podOf("a", exited(1, 0))}, "wait 40s"},
		"what is left of it":    {[]*pod{podOf("a", exited(1, 5*time.Second), let)}, "wait 15s"},
		"a success since":       {[]*pod{podOf("a", exited(0, time.Second), let)}, "create -1"},
		"a success before":      {[]*pod{podOf("a", exited(0, time.Minute), let)}, "wait 15s"},
		"one that was let go":   {[]*pod{podOf("a", deleted, let)}, "wait 15s"},
		"and failed after that": {[]*pod{podOf("a", deleted, let, exited(1, 0))}, "wait 15s"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(decide(look(newJob(1, 1), c.pods, nil, now), before)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestIndexes(t *testing.T) {
	for _, c := range []struct {
		text        string
		completions int
		want        string
		total       int
	}{
		{"", 5, "", 0}, {"0,1,2", 5, "0-2", 3}, {"0,1", 5, "0,1", 2}, {"1,3-7,9", 6, "1,3-5", 4}, {"7", 5, "", 0}, {"x,2-y,3", 5, "3", 1},
		{"4-2,-1", 5, "", 0}, {"3,1,2", 9, "1-3", 3}, {"0-3,2-5", 9, "0-5", 6},
	} {
		x := parseIndexes(c.text, c.completions)
		if x.String() != c.want || x.total() != c.total {
			t.Errorf("%q of %d: %q, %d, want %q, %d", c.text, c.completions, x, x.total(), c.want, c.total)
		}
	}
	x := parseIndexes("1,3-5,9", 20)
	for i := range 12 {
		if want := slices.Contains([]int{1, 3, 4, 5, 9}, i); x.has(i) != want {
			t.Errorf("has(%d) = %v", i, !want)
		}
	}
	if got := x.without(5, 8); !slices.Equal(got, []int{0, 2, 6, 7}) {
		t.Errorf("without: %v", got)
	}
	for _, c := range [][3]string{{"", "3", ""}, {"0-9", "", "0-9"}, {"0-9", "0,4-5,9", "1-3,6-8"}, {"1,3-5,8", "0-3,5-9", "4"}, {"2,4,6", "1-9", ""}} {
		if got := parseIndexes(c[0], 20).minus(parseIndexes(c[1], 20)).String(); got != c[2] {
			t.Errorf("%s minus %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := x.shared(parseIndexes("0-3,5,8-12", 20)); got != 4 {
		t.Errorf("shared: %d, want 4", got)
	}
}

func TestNewPod(t *testing.T) {
	j := jobWith(newJob(2, 2), perIndex(3))
	j.Name = strings.Repeat("j", 62)
	j.Spec.Template.Spec.Containers = append(j.Spec.Template.Spec.Containers, corev1.Container{Name: "own", Env: []corev1.EnvVar{{Name: indexVariable, Value: "mine"}}})
	p := newPod(j, creation{index: 7, failures: 2, ignored: 1})
	if want := strings.Repeat("j", 55) + "-7-"; p.GenerateName != want {
		t.Errorf("name %q, want %q", p.GenerateName, want)
	}
	want := map[string]string{batchv1.JobCompletionIndexAnnotation: "7", batchv1.JobIndexFailureCountAnnotation: "2", batchv1.JobIndexIgnoredFailureCountAnnotation: "1"}
	if fmt.Sprint(p.Annotations) != fmt.Sprint(want) || p.Labels[batchv1.JobCompletionIndexAnnotation] != "7" || p.Spec.Hostname != j.Name+"-7" {
		t.Errorf("annotations %v, labels %v, hostname %s", p.Annotations, p.Labels, p.Spec.Hostname)
	}
	if path := p.Spec.Containers[0].Env[0].ValueFrom.FieldRef.FieldPath; path != "metadata.labels['batch.kubernetes.io/job-completion-index']" {
		t.Errorf("the variable is %s", path)
	}
	if env := p.Spec.Containers[1].Env; len(env) != 1 || env[0].Value != "mine" {
		t.Errorf("a variable of the template became %v", env)
	}
	if len(j.Spec.Template.Spec.Containers[0].Env) > 0 || len(j.Spec.Template.Labels) != 1 {
		t.Error("the template was changed")
	}
	if !slices.Equal(p.Finalizers, []string{batchv1.JobTrackingFinalizer}) || !metav1.IsControlledBy(p, j) {
		t.Errorf("finalizers %v, owners %v", p.Finalizers, p.OwnerReferences)
	}
}

func TestFinishedAt(t *testing.T) {
	sidecar := func(p *pod) {
		p.Spec.InitContainers = []initContainer{{"side", "Always"}, {"init", ""}}
		c := container{Name: "side"}
		c.State.Terminated = &terminated{FinishedAt: metav1.NewTime(now.Add(-time.Second))}
		p.Status.InitContainerStatuses = []container{c, {Name: "init"}}
	}
	grace := func(p *pod) { s := int64(30); p.DeletionGracePeriodSeconds = &s }
	for name, c := range map[string]struct {
		pod *pod
		ago time.Duration
	}{
		"by its container": {podOf("a", exited(1, time.Minute)), time.Minute},
		"by its sidecar":   {podOf("a", exited(1, time.Minute), sidecar), time.Second},
		"by readiness":     {podOf("a", exited(1, time.Minute), func(p *pod) { p.Status.ContainerStatuses[0].State.Terminated = nil }), time.Hour},
		"by deletion":      {podOf("a", pending, deleted, grace), 30 * time.Second},
		"not at all":       {podOf("a", pending), time.Hour},
	} {
		if got := now.Sub(c.pod.finishedAt()); got != c.ago {
			t.Errorf("%s: %v ago, want %v", name, got, c.ago)
		}
	}
}
