package hostile_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// attack is one case of the suite.
type attack struct {
	name string
	// spec makes the Plugin; see server.hostilePlugin and rawPlugin.
	spec func(t testing.TB, s *server) v1alpha1.PluginSpec
	// says is what status or an event has to say, as a regular expression.
	says string
	// refused: the plugin must not get in, and its phase is Failed.
	refused bool
	// harmless: what it does is no fault; only the others are looked at.
	harmless bool
}

// hostileAt is an act of the Go guest at a point, in a host.
func hostileAt(host v1alpha1.HostKind, at, do string, change ...func(*v1alpha1.PluginSpec)) func(testing.TB, *server) v1alpha1.PluginSpec {
	return func(t testing.TB, s *server) v1alpha1.PluginSpec {
		spec := s.hostilePlugin(t, host, at, do)
		for _, f := range change {
			f(&spec)
		}
		return spec
	}
}

// raw is a guest in text format.
func raw(name string, change ...func(*v1alpha1.PluginSpec)) func(testing.TB, *server) v1alpha1.PluginSpec {
	return func(t testing.TB, s *server) v1alpha1.PluginSpec {
		spec := s.rawPlugin(t, name)
		for _, f := range change {
			f(&spec)
		}
		return spec
	}
}

func timeout(d time.Duration) func(*v1alpha1.PluginSpec) {
	return func(p *v1alpha1.PluginSpec) { p.Limits.Timeout = &metav1.Duration{Duration: d} }
}

// rounds is how often the neighbour has to answer at every point while the
// attack is on.
const rounds = 10

var number atomic.Int64

// withstand runs one attack against the server.
func (s *server) withstand(t *testing.T, a attack) {
	t.Helper()
	before := s.plugin(t, "neighbour").Status
	name := fmt.Sprintf("bad-%d", number.Add(1))
	s.load(t, name, a.spec(t, s))
	if a.refused {
		s.phase(t, name, v1alpha1.Failed)
	} else {
		s.phase(t, name, v1alpha1.Ready, v1alpha1.Degraded, v1alpha1.Quarantined)
	}
	stop := s.provoke(t)
	for range rounds {
		s.neighbourAnswers(t)
	}
	if a.says != "" {
		s.says(t, name, a.says)
	}
	stop()
	if !a.harmless && !a.refused {
		s.phase(t, name, v1alpha1.Degraded, v1alpha1.Quarantined) // written within a second
	}
	after := s.plugin(t, "neighbour").Status
	if after.Faults != before.Faults || after.Phase != v1alpha1.Ready {
		t.Errorf("the neighbour suffered: %s, %d faults (%d before): %q", after.Phase, after.Faults, before.Faults, after.Message)
	}
	s.remove(t, name)
	s.peaceful(t)
}

// provoke makes pods and ConfigMaps in the namespace that hostile plugins look
// at, until it is told to stop. Whether they are taken is not its business.
func (s *server) provoke(t testing.TB) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			name := fmt.Sprintf("bait-%d", number.Add(1))
			_, _ = s.createPod(guests.Namespace, name) // a policy may refuse it, in time
			_, _ = s.as(admin).Create(s.ctx, target(configMapResource, guests.Namespace, name), configMap(guests.Namespace, name), noOptions)
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond): // a pace for the flood, nothing waits for it
			}
		}
	}()
	return func() {
		close(end)
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("a request of the provocation hangs")
		}
	}
}

// neighbourAnswers has the neighbour's three points asked, each for an object
// in a namespace that has nothing to do with the hostile plugin.
func (s *server) neighbourAnswers(t testing.TB) {
	t.Helper()
	n := number.Add(1)
	name := fmt.Sprintf("pod-%d", n)
	warnings, err := s.createPod("bystander", name)
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), guests.Seen) {
		t.Fatalf("create of a pod: error %v, warnings %q", err, warnings)
	}
	ask, answer := fmt.Sprintf("%s%d", guests.AskPrefix, n), fmt.Sprintf("%s%d", guests.AnswerName, n)
	s.create(t, configMapResource, "bystander", configMap("bystander", ask))
	s.awaitBound(t, "bystander", name)
	await(t, "the neighbour's controller answers", func() bool {
		_, err := s.as(admin).Get(s.ctx, target(configMapResource, "bystander", answer), metav1.GetOptions{})
		return err == nil
	})
}

// peaceful: what the hostile plugin spoilt works again.
func (s *server) peaceful(t testing.TB) {
	t.Helper()
	name := fmt.Sprintf("after-%d", number.Add(1))
	await(t, "pods are admitted again", func() bool {
		_, err := s.createPod(guests.Namespace, name)
		return err == nil || apierrors.IsAlreadyExists(err)
	})
	s.awaitBound(t, guests.Namespace, name)
	s.neighbourAnswers(t)
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}
