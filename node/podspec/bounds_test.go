package podspec_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// A kilobyte of a pod's spec must not become gigabytes in the agent: what no
// process can be started with is refused while it is put together.
func TestEnvironmentIsBounded(t *testing.T) {
	doubling := func(n int) (env []corev1.EnvVar) {
		env = append(env, corev1.EnvVar{Name: "V0", Value: strings.Repeat("x", 64)})
		for i := range n {
			env = append(env, corev1.EnvVar{Name: fmt.Sprint("V", i+1), Value: fmt.Sprintf("$(V%d)$(V%d)", i, i)})
		}
		return env
	}
	same := func(n int) (env []corev1.EnvVar) { // each within the bound
		env = append(env, corev1.EnvVar{Name: "V", Value: strings.Repeat("x", 100<<10)})
		for i := range n {
			env = append(env, corev1.EnvVar{Name: fmt.Sprint("W", i), Value: "$(V)"})
		}
		return env
	}
	args := func(n int) []string { return slicesOf("$(V)", n) }
	for name, tc := range map[string]struct {
		container corev1.Container
		want      string
	}{
		"doubled within bounds": {corev1.Container{Env: doubling(10)}, ""},
		"doubled":               {corev1.Container{Env: doubling(30)}, "variable V11 has more than 128 KiB"},
		"many of one":           {corev1.Container{Env: same(30)}, "2048 KiB together"},
		"one by itself":         {corev1.Container{Env: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 128<<10)}}}, "variable A"},
		"arguments":             {corev1.Container{Env: same(0), Args: args(30)}, "args[19]: environment and arguments have more than 2048 KiB together"},
		"a command":             {corev1.Container{Env: same(0), Command: []string{"$(V)$(V)"}}, "command[0] has more than 128 KiB"},
		"redefined":             {corev1.Container{Env: append(same(15), same(15)...)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{}
			tc.container.Name = "c"
			p.Spec.Containers = []corev1.Container{tc.container}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			e, err := podspec.Environment(p, &p.Spec.Containers[0], node, nil, nil, sources{}, nil)
			if err == nil {
				_, err = podspec.Container(p, &p.Spec.Containers[0], node, podspec.Instance{Env: e})
			}
			runtime.ReadMemStats(&after)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error about %q", err, tc.want)
			}
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 20 {
				t.Errorf("it took %d MiB", n)
			}
		})
	}
}

func slicesOf(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}
