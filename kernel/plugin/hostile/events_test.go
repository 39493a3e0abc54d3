package hostile_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// allowing gives a hostile plugin more permissions.
func allowing(permissions ...string) func(*v1alpha1.PluginSpec) {
	return func(p *v1alpha1.PluginSpec) { p.Permissions = append(p.Permissions, rules(permissions...)...) }
}

// countEvents is how many events a plugin has recorded.
func (s *server) countEvents(t testing.TB, plugin string) (n int) {
	t.Helper()
	l, err := s.as(admin).List(s.ctx, target(eventResource, "", ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		if e, ok := o.Obj.(*corev1.Event); ok && e.Source.Component == plugin {
			n++
		}
	}
	return n
}

// loud loads a plugin whose reconcile does something, and has it reconcile.
func (s *server) loud(t *testing.T, name, do string, change ...func(*v1alpha1.PluginSpec)) {
	t.Helper()
	s.load(t, name, hostileAt(v1alpha1.HostWASM, "reconcile", do, change...)(t, s))
	s.phase(t, name, v1alpha1.Ready, v1alpha1.Degraded)
	s.create(t, configMapResource, guests.Namespace, configMap(guests.Namespace, "for-"+name))
}

// lastError waits until status.lastError of a plugin says something.
func (s *server) lastError(t *testing.T, name, want string) {
	t.Helper()
	var last string
	if !waits(func() bool {
		if e := s.plugin(t, name).Status.LastError; e != nil {
			last = e.Call + ": " + e.Message
		}
		return strings.Contains(last, want)
	}) {
		t.Errorf("status.lastError of %s says %q, want %q", name, last, want)
	}
}

// TestEventsNeedPermission: an event takes the right to create events and to
// read what it is about.
func TestEventsNeedPermission(t *testing.T) {
	beside(t)
	s := start(t)
	s.loud(t, "forger", "forge")
	s.lastError(t, "forger", "record event: plugin forger may not create events")
	s.loud(t, "narrow", "forge", allowing("create:events"))
	s.lastError(t, "narrow", "record event: plugin narrow may not get pods")
	for _, name := range []string{"forger", "narrow"} {
		if n := s.countEvents(t, name); n > 0 {
			t.Errorf("%s recorded %d events", name, n)
		}
	}
	s.loud(t, "trusted", "forge", allowing("create:events", "get:pods"))
	await(t, "with both rights it is recorded", func() bool { return s.countEvents(t, "trusted") == 1 })
	s.neighbourAnswers(t)
}

// TestEventsAreBounded in size and in number.
func TestEventsAreBounded(t *testing.T) {
	beside(t)
	s := start(t)
	s.loud(t, "large", "large event", allowing("create:events"))
	s.lastError(t, "large", "record event: event: reason has 1048576 bytes, 128 are the most")
	s.loud(t, "flooder", "flood events", allowing("create:events"))
	s.lastError(t, "flooder", "record event: plugin flooder records too many events: 10 a second are allowed, 1000 at once")
	s.neighbourAnswers(t)
	if n := s.countEvents(t, "flooder"); n > 1500 {
		t.Errorf("%d events of a flood of %d were recorded", n, guests.FloodObject)
	}
	if n := s.countEvents(t, "large"); n > 0 {
		t.Errorf("%d events without bounds were recorded", n)
	}
}

// TestWritesAreBounded: a plugin that writes without end is refused beyond its
// share, in words that say what to do.
func TestWritesAreBounded(t *testing.T) {
	beside(t)
	s := start(t)
	s.loud(t, "writer", "flood writes", allowing("create:configmaps"), func(p *v1alpha1.PluginSpec) { p.Limits.WritesPerSecond = 50 })
	s.lastError(t, "writer", "plugin writer writes too much: 50 objects a second are allowed, 1000 at once; spec.limits.writesPerSecond of the Plugin raises it")
	s.neighbourAnswers(t)
	l, err := s.as(admin).List(s.ctx, target(configMapResource, guests.Namespace, ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(l.Items); n > 2500 {
		t.Errorf("%d of %d objects were written", n, guests.FloodObject)
	}
	s.remove(t, "writer")
	s.peaceful(t)
}
