package scheduler

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/scheduler/cache"
	"github.com/pintle-io/pintle/kernel/scheduler/queue"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// hostPorts are containers with one host port each, as "IP PORT PROTOCOL".
func hostPorts(list ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i, v := range list {
			var x corev1.ContainerPort
			if _, err := fmt.Sscanf(v, "%s %d %s", &x.HostIP, &x.HostPort, &x.Protocol); err != nil {
				panic(err)
			}
			if x.HostIP == "any" {
				x.HostIP = ""
			}
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("port-", i), Ports: []corev1.ContainerPort{x}})
		}
	}
}

// sidecar turns all containers but the first into init containers.
func sidecar(policy corev1.ContainerRestartPolicy) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, c := range p.Spec.Containers[1:] {
			if policy != "" {
				c.RestartPolicy = &policy
			}
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		}
		p.Spec.Containers = p.Spec.Containers[:1]
	}
}

// TestHostPorts asks the same of every host: what is taken on a node, and
// which pod does not fit there.
func TestHostPorts(t *testing.T) {
	type changes = []func(*corev1.Pod)
	for host, p := range map[string]Plugin{"native": standard(), "process": inProcess(t), "wasm": inWASM(t)} {
		for _, tt := range []struct {
			name      string
			taken     []changes // by the pods on the node
			pod       changes
			wantTaken bool
		}{
			{"no ports", []changes{{hostPorts("any 80 TCP")}}, nil, false},
			{"nobody there", nil, changes{hostPorts("any 80 TCP")}, false},
			{"nobody with ports", []changes{nil}, changes{hostPorts("any 80 TCP")}, false},
			{"the same port", []changes{{hostPorts("any 80 TCP")}}, changes{hostPorts("any 80 TCP")}, true},
			{"another port", []changes{{hostPorts("any 80 TCP")}}, changes{hostPorts("any 81 TCP")}, false},
			{"another protocol", []changes{{hostPorts("any 80 TCP")}}, changes{hostPorts("any 80 UDP")}, false},
			{"the same address", []changes{{hostPorts("10.0.0.1 80 TCP")}}, changes{hostPorts("10.0.0.1 80 TCP")}, true},
			{"another address", []changes{{hostPorts("10.0.0.1 80 TCP")}}, changes{hostPorts("10.0.0.2 80 TCP")}, false},
			{"all addresses and one", []changes{{hostPorts("0.0.0.0 80 TCP")}}, changes{hostPorts("10.0.0.2 80 TCP")}, true},
			{"one address and all", []changes{{hostPorts("10.0.0.1 80 TCP")}}, changes{hostPorts("any 80 TCP")}, true},
			{"one of several", []changes{{hostPorts("any 70 TCP", "any 80 UDP", "any 90 TCP")}, {hostPorts("any 80 TCP")}},
				changes{hostPorts("any 60 TCP", "10.0.0.1 80 TCP")}, true},
			{"none of several", []changes{{hostPorts("any 70 TCP", "any 80 UDP", "any 90 TCP")}, {hostPorts("any 80 TCP")}},
				changes{hostPorts("any 60 TCP", "any 90 UDP")}, false},
			{"taken by a sidecar", []changes{{hostPorts("any 80 TCP"), sidecar(corev1.ContainerRestartPolicyAlways)}}, changes{hostPorts("any 80 TCP")}, true},
			{"wanted by a sidecar", []changes{{hostPorts("any 80 TCP")}}, changes{hostPorts("any 80 TCP"), sidecar(corev1.ContainerRestartPolicyAlways)}, true},
			{"of an init container", []changes{{hostPorts("any 80 TCP"), sidecar("")}}, changes{hostPorts("any 80 TCP")}, false},
			{"for an init container", []changes{{hostPorts("any 80 TCP")}}, changes{hostPorts("any 80 TCP"), sidecar("")}, false},
		} {
			t.Run(host+"/"+tt.name, func(t *testing.T) {
				c := newTestCycle(t, p)
				c.putNode(testNode("n", "4", "8Gi"), start)
				for i, change := range tt.taken {
					o := testPod(fmt.Sprint("on-", i), "", "", change...)
					o.Spec.NodeName = "n"
					c.putPod(o, start)
				}
				out := c.decide(t, testPod("p", "", "", tt.pod...))
				got, want := "", ""
				if out.Fit != nil {
					got = out.Fit.Error()
				}
				if tt.wantTaken {
					want = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// A pod that turns out to run elsewhere than was assumed gives its port back.
func TestPortOfAPodBoundElsewhere(t *testing.T) {
	c := newTestCycle(t)
	c.putNode(testNode("a", "4", "8Gi"), start)
	c.putPod(testPod("one", "", "", hostPorts("any 80 TCP")), start)
	if d := c.next(t.Context(), start); d == nil || d.node != "a" {
		t.Fatalf("decision %+v", d)
	}
	c.putPod(testPod("two", "", "", hostPorts("any 80 TCP")), start)
	if d := c.next(t.Context(), start); d == nil || d.node != "" {
		t.Fatalf("decision %+v, want none: the port is taken", d)
	}
	c.putPod(testPod("one", "", "", hostPorts("any 80 TCP"), func(p *corev1.Pod) { p.Spec.NodeName = "b" }), start)
	if d := c.next(t.Context(), start.Add(queue.InitialBackoff)); d == nil || d.node != "a" {
		t.Errorf("decision %+v, want node a", d)
	}
}

// BenchmarkPorts is the decision about a pod with a host port of its own,
// where every node has other ports in use: as many sets as nodes.
func BenchmarkPorts(b *testing.B)     { benchPorts(b, standard()) }
func BenchmarkPortsWASM(b *testing.B) { benchPorts(b, inWASM(b)) }

func benchPorts(b *testing.B, p Plugin) {
	c := benchCore(b, 5000, p)
	port := 0
	next := func() *corev1.Pod {
		o := benchPod(port)
		port++
		o.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: int32(1 + port%60_000)}}
		return o
	}
	for row := range 5000 {
		for range 20 {
			u := cache.UsageOf(next())
			u.Requests = columns.Resources{}
			c.cache.Table().Use(row, &u, 1)
		}
	}
	for b.Loop() {
		o := next()
		u := cache.UsageOf(o)
		out, err := c.evaluator.Decide(b.Context(), record(o, &u), start)
		if err != nil || out.Node == "" {
			b.Fatal(out, err)
		}
		c.cache.Table().Use(out.Row, &u, 1)
		c.cache.Table().Use(out.Row, &u, -1)
	}
}
