package plan

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Stops is the end of everything that may still run of a pod. Regular and
// debug containers end at once; a sidecar's turn comes when the regular ones
// and the sidecars behind it have ended. What a sidecar waits with is its stop
// signal: its preStop hook runs at once, too.
func Stops(pod *corev1.Pod, seen *state.Pod) []Kill {
	var out []Kill
	add := func(name string, after []string) (ids []string) {
		for i := range seen.Containers {
			if c := &seen.Containers[i]; c.Name == name && c.Phase != state.Exited {
				out = append(out, Kill{ID: c.ID, Name: name, Message: "Stopping container " + name,
					Running: c.Phase == state.Running, After: after})
				ids = append(ids, c.ID)
			}
		}
		return ids
	}
	var regular []string
	for i := range pod.Spec.Containers {
		regular = append(regular, add(pod.Spec.Containers[i].Name, nil)...)
	}
	for i := range pod.Spec.EphemeralContainers {
		add(pod.Spec.EphemeralContainers[i].Name, nil)
	}
	for after, i := regular, len(pod.Spec.InitContainers)-1; i >= 0; i-- {
		c := &pod.Spec.InitContainers[i]
		if !podspec.IsSidecar(c) {
			add(c.Name, nil)
			continue
		}
		after = append(after[:len(after):len(after)], add(c.Name, after)...)
	}
	return out
}

// finish ends what still runs of a pod that is over.
func (p *planner) finish() {
	left, busy := false, false
	for _, c := range podspec.Containers(p.Pod) {
		busy = busy || p.Busy(c.Name)
	}
	named := map[string]bool{}
	for _, k := range Stops(p.Pod, p.Observed) {
		left = true
		// A sidecar does not go before a container that is being started, or
		// could not be stopped just now.
		if p.Busy(k.Name) || named[k.Name] || busy && sidecar(p.Pod, k.Name) {
			continue
		}
		named[k.Name] = true
		busy = !p.kill(k) || busy
	}
	p.plan.TearDown = !left && !busy && !p.Busy("")
}

func sidecar(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == name {
			return podspec.IsSidecar(c)
		}
	}
	return false
}

// KillHold is the name under which the kill of a container is held back.
func KillHold(container string) string { return "kill " + container }

// kill asks for the end of an instance, unless the last try has just failed.
func (p *planner) kill(k Kill) bool {
	_, held := p.held(KillHold(k.Name))
	if !held {
		p.plan.Kills = append(p.plan.Kills, k)
	}
	return !held
}
