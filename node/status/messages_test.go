package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

func TestMessagesShare(t *testing.T) {
	for name, c := range map[string]struct {
		init, app int
		message   string
		want      int
	}{
		"alone, as much as is read": {0, 1, strings.Repeat("x", 4096), 4096},
		"three":                     {1, 2, strings.Repeat("x", 4096), 4096},
		"six share":                 {2, 4, strings.Repeat("x", 4096), 2048},
		"no half of a character":    {0, 6, strings.Repeat("ü", 1000) + "x" + strings.Repeat("ü", 1000), 2047},
	} {
		p, seen := &corev1.Pod{}, &state.Pod{}
		add := func(list *[]corev1.Container, name string) {
			*list = append(*list, corev1.Container{Name: name})
			for _, id := range []string{"2", "1"} { // also of the instance before
				seen.Containers = append(seen.Containers, state.Container{ID: name + id, Name: name, Phase: state.Exited, ExitCode: 1, Message: c.message})
			}
		}
		for i := range c.init {
			add(&p.Spec.InitContainers, fmt.Sprint("i", i))
		}
		for i := range c.app {
			add(&p.Spec.Containers, fmt.Sprint("c", i))
		}
		s := status.Make(status.Input{Pod: p, Observed: seen, Ended: true, Now: time.Unix(1e9, 0), Health: func(string) status.Health { return status.Health{} }})
		for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
			for _, cs := range list {
				if got := len(cs.State.Terminated.Message); got != c.want {
					t.Errorf("%s: %s: %d bytes, want %d", name, cs.Name, got, c.want)
				}
				if got := len(cs.LastTerminationState.Terminated.Message); got != c.want {
					t.Errorf("%s: %s: %d bytes of the last one, want %d", name, cs.Name, got, c.want)
				}
			}
		}
	}
}
