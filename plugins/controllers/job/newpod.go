package job

import (
	"slices"
	"strconv"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// newPod is a pod of the template, owned by the Job. It shares the template's
// parts, but for what an index adds.
func newPod(j *batchv1.Job, c creation) *corev1.Pod {
	t := j.Spec.Template
	p := &corev1.Pod{Spec: t.Spec}
	p.Namespace, p.GenerateName = j.Namespace, prefix(j.Name, "-")
	p.Labels, p.Annotations, p.Finalizers = t.Labels, t.Annotations, t.Finalizers
	if !slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
		p.Finalizers = append(slices.Clone(p.Finalizers), batchv1.JobTrackingFinalizer)
	}
	p.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(j, "batch/v1", kind)}
	if c.index == unknownIndex {
		return p
	}
	index := strconv.Itoa(c.index)
	p.GenerateName = prefix(j.Name, "-"+index+"-")
	p.Spec.Hostname = j.Name + "-" + index
	p.Labels = also(p.Labels, batchv1.JobCompletionIndexAnnotation, index)
	p.Annotations = also(p.Annotations, batchv1.JobCompletionIndexAnnotation, index)
	if j.Spec.BackoffLimitPerIndex != nil {
		p.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(int(c.failures))
		if c.ignored > 0 {
			p.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(int(c.ignored))
		}
	}
	p.Spec.InitContainers, p.Spec.Containers = tellIndex(p.Spec.InitContainers), tellIndex(p.Spec.Containers)
	return p
}

// prefix leaves room for the generated suffix in a name of 63 characters.
func prefix(name, end string) string {
	const room = 63 - 5
	return name[:max(min(len(name), room-len(end)), 0)] + end
}

// also is a copy of a map with one more entry.
func also(m map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(m)+2)
	for k, v := range m {
		out[k] = v
	}
	out[key] = value
	return out
}

const indexVariable = "JOB_COMPLETION_INDEX"

// tellIndex gives copies of containers a variable with their index, unless they
// have one of that name.
func tellIndex(list []corev1.Container) []corev1.Container {
	out := slices.Clone(list)
	for i := range out {
		env := out[i].Env
		if slices.ContainsFunc(env, func(e corev1.EnvVar) bool { return e.Name == indexVariable }) {
			continue
		}
		path := "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"
		out[i].Env = append(slices.Clone(env), corev1.EnvVar{Name: indexVariable,
			ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}})
	}
	return out
}
