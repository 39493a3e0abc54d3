package loadbalancer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// history is a random life of some Services, with reconciles in any order.
type history struct {
	t     *testing.T
	rand  *rand.Rand
	store *sdktest.Store
	s     *settings
	pool  bool
	step  int
	log   []string
}

func (h *history) name() string { return fmt.Sprint("s", h.rand.IntN(8)) }

func (h *history) act() {
	c, name := h.store.Client(), h.name()
	svc := &corev1.Service{}
	err := c.Get(svc, "default", name)
	if client.IsNotFound(err) {
		svc = newService(name, int32(80+h.rand.IntN(3)))
		svc.CreationTimestamp = metav1.NewTime(now.AddDate(0, 0, h.step))
		h.must(c.Create(svc), "create "+name)
		return
	}
	h.must(err, "get")
	switch h.rand.IntN(5) {
	case 0:
		h.must(c.Delete(svc, client.DeleteOptions{}), "delete "+name)
		return
	case 1:
		svc.Spec.Type = "ClusterIP"
	case 2:
		svc.Spec.Type = balanced
	case 3:
		svc.Spec.Ports[0].Port = int32(80 + h.rand.IntN(3))
	case 4:
		svc.Spec.LoadBalancerIP = []string{"", "192.0.2.1", "192.0.2.2", "10.0.0.1"}[h.rand.IntN(4)]
	}
	h.must(c.Update(svc), fmt.Sprintf("update %s %s %d %s", name, svc.Spec.Type, svc.Spec.Ports[0].Port, svc.Spec.LoadBalancerIP))
}

func (h *history) must(err error, what string) {
	h.log = append(h.log, what)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
}

// reconcile looks at a request and all that it asks for. A crash after any write is the
// end of a reconcile: nothing is remembered.
func (h *history) reconcile(name string) {
	res, err := h.s.reconcile(h.store.Client(), controller.Request{Namespace: "default", Name: name})
	h.must(err, "reconcile "+name)
	for _, q := range res.Enqueue {
		h.reconcile(q.Name)
	}
}

func (h *history) services() []*service {
	var all []*service
	if err := h.store.Client().List(&all, client.ListOptions{}); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// settled: who has what, once every Service has been looked at.
func (h *history) settled() {
	for range 2 { // what one gives up in the first round, another gets in the second
		for i := range 8 {
			h.reconcile(fmt.Sprint("s", i))
		}
		h.reconcile(pending)
	}
	holder := map[string]string{}
	for _, s := range h.services() {
		n := s.Metadata.Name
		if s.Spec.Type != balanced && (len(s.has()) > 0 || s.mark() != nil) {
			h.fail("%s is of type %s and has %v", n, s.Spec.Type, s.has())
		}
		for _, a := range s.has() {
			key := a.String()
			if !h.pool {
				key = fmt.Sprint(a, " ", s.Spec.Ports[0].Port)
			}
			if o := holder[key]; o != "" {
				h.fail("%s is given to %s and %s", key, o, n)
			}
			holder[key] = n
		}
		if want := s.Spec.LoadBalancerIP; want != "" && len(s.has()) > 0 && s.has()[0].String() != want {
			h.fail("%s asks for %s and has %v", n, want, s.has())
		}
	}
	for _, s := range h.services() { // and nobody waits for what is free
		if s.Spec.Type != balanced || len(s.has()) > 0 || s.Spec.LoadBalancerIP != "" {
			continue
		}
		if free := fmt.Sprint("10.0.0.1 ", s.Spec.Ports[0].Port); !h.pool && holder[free] == "" && holder[fmt.Sprint("10.0.0.2 ", s.Spec.Ports[0].Port)] == "" {
			h.fail("%s waits, and %s is free", s.Metadata.Name, free)
		}
		if h.pool && len(holder) < 3 {
			h.fail("%s waits, and of three addresses %d are taken", s.Metadata.Name, len(holder))
		}
	}
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf(format+"\nhistory: %q", append(args, h.log)...)
}

// TestOracle: in no history of Services is an address of a pool given twice, or a port at
// the nodes' addresses; and nobody waits for one that is free.
func TestOracle(t *testing.T) {
	for seed := range uint64(16) {
		config := ""
		if seed%2 == 0 {
			config = `{"pool": ["192.0.2.1-192.0.2.3"]}`
		}
		s, err := parse([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		store, err := sdktest.NewStore(newNode("a", "10.0.0.1"), newNode("b", "10.0.0.2"))
		if err != nil {
			t.Fatal(err)
		}
		h := &history{t: t, rand: rand.New(rand.NewPCG(seed, 1)), store: store, s: s, pool: config != ""}
		for h.step = range 60 {
			h.act()
			if h.rand.IntN(3) > 0 {
				h.reconcile(h.name())
			}
			if h.step%12 == 11 {
				h.settled()
			}
		}
	}
}
