package hostile_test

import (
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// watching gives a plugin what its controller watches.
func watching(p *v1alpha1.PluginSpec) {
	p.Permissions = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}}}
}

func mode(m v1alpha1.Mode) func(*v1alpha1.PluginSpec) {
	return func(p *v1alpha1.PluginSpec) { p.Mode = m }
}

// TestControllersThatLoop: a controller is stopped like everybody else, and its
// errors have words.
func TestControllersThatLoop(t *testing.T) {
	beside(t)
	s := start(t)
	t.Run("loop", func(t *testing.T) {
		s.withstand(t, attack{spec: hostileAt(v1alpha1.HostWASM, "reconcile", "loop", watching, timeout(300*time.Millisecond)),
			says: "(?s)event Quarantined.*no answer within 300ms"})
	})
	t.Run("error", func(t *testing.T) {
		s.load(t, "errs", hostileAt(v1alpha1.HostWASM, "reconcile", "error", watching)(t, s))
		s.phase(t, "errs", v1alpha1.Ready)
		s.create(t, configMapResource, guests.Namespace, configMap(guests.Namespace, "bait-error"))
		await(t, "the error has words", func() bool {
			e := s.plugin(t, "errs").Status.LastError
			return e != nil && !e.Fault && e.Call == "reconcile" && strings.Contains(e.Message, "cannot do what reconcile wants")
		})
		s.remove(t, "errs")
	})
}

// TestRehearsedDecideNothing: what is in the mode Shadow is asked, and neither
// what it says nor that it fails touches a pod.
func TestRehearsedDecideNothing(t *testing.T) {
	beside(t)
	s := start(t)
	for _, at := range []string{"validate", "mutate", "prefilter", "filter", "score"} {
		for _, do := range []string{"error", "panic"} {
			t.Run(at+" "+do, func(t *testing.T) {
				name := "shadow-" + at + "-" + do
				s.load(t, name, hostileAt(v1alpha1.HostWASM, at, do, mode(v1alpha1.Shadow))(t, s))
				s.phase(t, name, v1alpha1.Ready)
				s.create(t, podResource, guests.Namespace, podOf(guests.Namespace, name))
				s.awaitBound(t, guests.Namespace, name)
				await(t, "it was asked", func() bool { return s.plugin(t, name).Status.Calls > 0 })
				s.remove(t, name)
			})
		}
	}
}

// TestHangingInit: plugins that hang while they are opened hold up no other.
func TestHangingInit(t *testing.T) {
	beside(t)
	s := start(t)
	for _, name := range []string{"hang-1", "hang-2"} {
		s.load(t, name, hostileAt(v1alpha1.HostProcess, "open", "sleep")(t, s))
		s.phase(t, name, v1alpha1.Loading)
	}
	s.load(t, "prompt", hostileAt(v1alpha1.HostWASM, "validate", "nothing")(t, s))
	s.phase(t, "prompt", v1alpha1.Ready)
	for _, name := range []string{"hang-1", "hang-2"} {
		if p := s.plugin(t, name); p.Status.Phase != v1alpha1.Loading {
			t.Errorf("%s is %s: the other waited for it", name, p.Status.Phase)
		}
		s.remove(t, name)
	}
	s.remove(t, "prompt")
	s.neighbourAnswers(t)
}
