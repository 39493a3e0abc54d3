package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func httpGet(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), err
}

// deploy creates a Deployment with a Service in front and waits for it.
func deploy(t *testing.T, c *cluster, name string, replicas int, serviceArgs ...string) (clusterIP string) {
	t.Helper()
	t.Cleanup(func() {
		c.kubectl(t, "delete", "deployment,service", name, "--ignore-not-found")
		eventually(t, 90*time.Second, "pods of "+name+" go", func() error {
			return want(c.get(t, "pods -l app="+name, "{.items[*].metadata.name}"), "")
		})
	})
	c.kubectl(t, "create", "deployment", name, "--image=demo:v1", fmt.Sprintf("--replicas=%d", replicas))
	c.kubectl(t, append([]string{"expose", "deployment", name, "--port=80", "--target-port=8080"}, serviceArgs...)...)
	c.kubectl(t, "rollout", "status", "deployment/"+name, "--timeout=90s")
	eventually(t, 20*time.Second, "endpoints of "+name, func() error {
		return want(len(strings.Fields(c.get(t, "endpointslices -l kubernetes.io/service-name="+name, "{.items[*].endpoints[*].addresses[0]}"))), replicas)
	})
	return c.get(t, "service/"+name, "{.spec.clusterIP}")
}

// testServices: point 4. The ClusterIP from every node and from a pod on
// every node, NodePort from outside a node, refusal without endpoints.
func testServices(t *testing.T, c *cluster) {
	ip := deploy(t, c, "front", 3, "--type=NodePort")
	port := c.get(t, "service/front", "{.spec.ports[0].nodePort}")
	for i := 1; i <= 3; i++ {
		node := fmt.Sprintf("node%d", i)
		answersFromAll(t, "ClusterIP from "+node, 3, func(ctx context.Context) (string, error) {
			return c.onNode(ctx, node, demoBin(t), "-get", "http://"+ip+"/hostname")
		})
	}
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod", "client-1", "client-2", "client-3", "--grace-period=1", "--ignore-not-found")
	})
	for i := 1; i <= 3; i++ {
		c.kubectlIn(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: client-%d}
spec:
  nodeName: node%d
  terminationGracePeriodSeconds: 1
  containers: [{name: client, image: demo:v1}]
`, i, i), "apply", "-f", "-")
	}
	for i := 1; i <= 3; i++ {
		pod := fmt.Sprintf("client-%d", i)
		c.kubectl(t, "wait", "--for=condition=Ready", "pod/"+pod, "--timeout=60s")
		answersFromAll(t, "ClusterIP from "+pod, 3, func(ctx context.Context) (string, error) {
			return c.tryKubectl(ctx, "", "exec", pod, "--", "/demo", "-get", "http://"+ip+"/hostname")
		})
	}
	// From outside the node: another machine on the lab's switch, whose own
	// load balancer does not know the node's address.
	answersFromAll(t, "NodePort from outside", 2, func(ctx context.Context) (string, error) {
		return c.tryPintle(ctx, "lab", "exec", "--dir", c.dir, "switch", "--", demoBin(t), "-get", "http://172.31.77.12:"+port+"/hostname")
	})
	c.kubectl(t, "scale", "deployment/front", "--replicas=0")
	eventually(t, 60*time.Second, "a Service without endpoints refuses", func() error {
		out, err := c.onNode(t.Context(), "node1", demoBin(t), "-get", "http://"+ip+"/hostname")
		if err == nil || !strings.Contains(out, "refused") {
			return fmt.Errorf("answered %q, %v", out, err)
		}
		return nil
	})
}

// testProxies: the server of a lab is no node and has no route to the pods, and yet
// proxies to them, by their nodes' agents.
func testProxies(t *testing.T, c *cluster) {
	deploy(t, c, "behind", 3)
	for _, pod := range strings.Fields(c.get(t, "pods -l app=behind", "{.items[*].metadata.name}")) {
		contains(t, "a pod's answer", c.kubectl(t, "get", "--raw", "/api/v1/namespaces/default/pods/"+pod+":8080/proxy/hostname"), pod)
	}
	answersFromAll(t, "the Service's proxy", 3, func(ctx context.Context) (string, error) {
		return c.tryKubectl(ctx, "", "get", "--raw", "/api/v1/namespaces/default/services/behind/proxy/hostname")
	})
	pod := strings.Fields(c.get(t, "pods -l app=behind", "{.items[*].metadata.name}"))[0]
	contains(t, "a port where nobody listens", c.refused(t, "", "get", "--raw", "/api/v1/namespaces/default/pods/"+pod+":9/proxy/"), "connection refused")
}

// answersFromAll asks until n different pods have answered.
func answersFromAll(t *testing.T, what string, n int, ask func(context.Context) (string, error)) {
	t.Helper()
	seen := map[string]bool{}
	eventually(t, 40*time.Second, what, func() error {
		out, err := ask(t.Context())
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		seen[strings.TrimSpace(out)] = true
		if len(seen) < n {
			return fmt.Errorf("only %v answered", seen)
		}
		return nil
	})
}

// testDNS: names as every pod sees them.
func testDNS(t *testing.T, c *cluster) {
	ip := deploy(t, c, "named", 2)
	t.Cleanup(func() {
		c.kubectl(t, "delete", "service", "headless", "--ignore-not-found")
		c.kubectl(t, "delete", "pod", "resolver", "--ignore-not-found", "--grace-period=1")
	})
	c.kubectlIn(t, `apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: named}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: resolver}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: sh, image: busybox:1, command: [/bin/sleep, "3600"]}]
`, "apply", "-f", "-")
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/resolver", "--timeout=60s")
	contains(t, "resolv.conf", c.kubectl(t, "exec", "resolver", "--", "/bin/cat", "/etc/resolv.conf"),
		"nameserver 10.97.0.10", "search default.svc.cluster.local svc.cluster.local cluster.local", "ndots:5")
	ask := func(kind, name string, wants ...string) {
		t.Helper()
		eventually(t, 20*time.Second, kind+" "+name, func() error {
			out, err := c.tryKubectl(t.Context(), "", "exec", "resolver", "--", "/bin/nslookup", "-type="+kind, name)
			for _, w := range wants {
				if !strings.Contains(out, w) {
					return fmt.Errorf("lacks %q (%v):\n%s", w, err, out)
				}
			}
			return nil
		})
	}
	ask("a", "named.default.svc.cluster.local", ip)
	ask("ptr", reversed(ip), "named.default.svc.cluster.local")
	pods := strings.Fields(c.get(t, "pods -l app=named", "{.items[*].status.podIP}"))
	ask("a", "headless.default.svc.cluster.local", pods...)
	ask("srv", "_http._tcp.headless.default.svc.cluster.local", "8080", "headless.default.svc.cluster.local")
	ask("a", "no-such-name.default.svc.cluster.local", "NXDOMAIN")
	contains(t, "request by name", c.kubectl(t, "exec", strings.Fields(c.get(t, "pods -l app=named", "{.items[*].metadata.name}"))[0],
		"--", "/demo", "-get", "http://named/hostname"), "named-")
}

// reversed is the name under which an address is looked up backwards.
func reversed(ip string) string {
	p := strings.Split(ip, ".")
	slices.Reverse(p)
	return strings.Join(p, ".") + ".in-addr.arpa"
}

// testRollingUpdate: point 5. A client asks without pause through the
// ClusterIP while the Deployment is updated; no request may fail.
func testRollingUpdate(t *testing.T, c *cluster) {
	ip := deploy(t, c, "live", 3)
	c.kubectl(t, "patch", "deployment", "live", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"demo","readinessProbe":{"httpGet":{"path":"/readyz","port":8080},"periodSeconds":1}}]}}}}`)
	c.kubectl(t, "rollout", "status", "deployment/live", "--timeout=90s")

	load := startLoad(t, c, "node1", ip)
	c.kubectl(t, "set", "image", "deployment/live", "demo=demo:v2")
	c.kubectl(t, "rollout", "status", "deployment/live", "--timeout=120s")
	time.Sleep(2 * time.Second)
	report := load.stop(t)
	t.Logf("load during the update: %s", report)
	contains(t, "load report", report, `"failed":0`, `"v1"`, `"v2"`)

	// A bad image stops the rollout with the old pods still serving.
	load = startLoad(t, c, "node2", ip)
	c.kubectl(t, "set", "image", "deployment/live", "demo=demo:broken")
	eventually(t, 60*time.Second, "a pod waits for the bad image", func() error {
		out := c.kubectl(t, "get", "pods", "-l", "app=live")
		if !strings.Contains(out, "ImagePullBackOff") && !strings.Contains(out, "ErrImagePull") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if got := c.get(t, "deployment/live", "{.status.availableReplicas}"); got != "3" {
		t.Errorf("available replicas during a bad rollout: %s, want 3", got)
	}
	c.kubectl(t, "rollout", "undo", "deployment/live")
	c.kubectl(t, "rollout", "status", "deployment/live", "--timeout=90s")
	report = load.stop(t)
	t.Logf("load during the bad image and the undo: %s", report)
	contains(t, "load report", report, `"failed":0`)
	if got := c.get(t, "deployment/live", "{.spec.template.spec.containers[0].image}"); got != "demo:v2" {
		t.Errorf("image after undo: %s, want demo:v2", got)
	}
}

// testUnprobedUpdate: the same for a program that is slow to start and has no
// readiness probe, as kubectl create deployment makes them.
func testUnprobedUpdate(t *testing.T, c *cluster) {
	ip := deploy(t, c, "bare", 2)
	c.kubectl(t, "patch", "deployment", "bare", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"demo","args":["-late","400ms"]}]}}}}`)
	c.kubectl(t, "rollout", "status", "deployment/bare", "--timeout=90s")
	load := startLoad(t, c, "node1", ip)
	c.kubectl(t, "set", "image", "deployment/bare", "demo=demo:v2")
	c.kubectl(t, "rollout", "status", "deployment/bare", "--timeout=120s")
	time.Sleep(time.Second)
	report := load.stop(t)
	t.Logf("load during the update: %s", report)
	contains(t, "load report", report, `"failed":0`, `"v1"`, `"v2"`)
}

type load struct {
	cancel context.CancelFunc
	out    chan string
}

// startLoad makes requests without pause from a node until stopped; the demo
// program is its own client and prints a JSON report when interrupted.
func startLoad(t *testing.T, c *cluster, node, ip string) *load {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	l := &load{cancel: cancel, out: make(chan string, 1)}
	stop := t.TempDir() + "/stop"
	go func() {
		out, err := c.onNode(ctx, node, demoBin(t), "-load", "http://"+ip+"/version", "-until", stop)
		if err != nil {
			out += " " + err.Error()
		}
		l.out <- out
	}()
	l.cancel = func() { touch(t, stop) }
	t.Cleanup(cancel)
	time.Sleep(time.Second)
	return l
}

func (l *load) stop(t *testing.T) string {
	l.cancel()
	select {
	case out := <-l.out:
		return out
	case <-time.After(20 * time.Second):
		t.Error("the load generator does not end")
		return ""
	}
}
