package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLab goes through what a stranger would do on one fresh lab of three
// nodes. The parts share the cluster and run in order; each cleans up after
// itself.
func TestLab(t *testing.T) {
	c := startLab(t, 3)
	busyboxImage(t, c)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"Nodes", testNodes},
		{"Kubectl", testKubectl},
		{"StockKubectl", func(t *testing.T, c *cluster) { testKubectl(t, c.withStockKubectl(t)) }},
		{"Apply", testApply},
		{"Probes", testProbes},
		{"Images", testImages},
		{"ImagePushers", testImagePushers},
		{"Storage", testStorage},
		{"TrustBundles", testTrustBundles},
		{"PodCertificates", testPodCertificates},
		{"Services", testServices},
		{"Proxies", testProxies},
		{"DNS", testDNS},
		{"InClusterClients", testInClusterClients},
		{"RollingUpdate", testRollingUpdate},
		{"UnprobedUpdate", testUnprobedUpdate},
		{"Access", testAccess},
		{"BadInput", testBadInput},
		{"SchedulerPlugin", testSchedulerPlugin},
		{"AdmissionPlugin", testAdmissionPlugin},
		{"ControllerPlugin", testControllerPlugin},
		{"HostilePlugins", testHostilePlugins},
		{"SelfHealing", testSelfHealing},
		{"Restart", testRestart},
		{"NodeLoss", testNodeLoss},
		{"Partition", testPartition},
		{"Examples", testExamples},
	} {
		if ok := t.Run(part.name, func(t *testing.T) { part.run(t, c) }); !ok && os.Getenv("E2E_KEEP_GOING") == "" {
			t.FailNow()
		}
	}
}

// busyboxImage makes an image with a shell from the static busybox.
func busyboxImage(t *testing.T, c *cluster) {
	args := []string{"image", "push", "busybox:1", "--registry", c.registry, "--binary", "/bin/busybox"}
	for _, applet := range []string{"sh", "cat", "nslookup", "wget", "sleep", "ls", "hostname", "env", "nc"} {
		args = append(args, "--link", "/bin/"+applet)
	}
	c.pintle(t, args...)
}

func testNodes(t *testing.T, c *cluster) {
	out := c.kubectl(t, "get", "nodes")
	contains(t, "get nodes", out, "NAME", "STATUS", "ROLES", "AGE", "VERSION")
	for i := 1; i <= 3; i++ {
		if ok, _ := regexp.MatchString(fmt.Sprintf(`node%d +Ready`, i), out); !ok {
			t.Errorf("node%d is not Ready:\n%s", i, out)
		}
	}
	if out := c.pintle(t, "lab", "status", "--dir", c.dir); strings.Count(out, "up") < 3 {
		t.Errorf("lab status:\n%s", out)
	}
	contains(t, "version", c.kubectl(t, "version"), "Server Version: v1.37")
}

// testKubectl: point 1, the imperative commands, and point 2, the life of a
// Deployment.
func testKubectl(t *testing.T, c *cluster) {
	c.kubectl(t, "create", "deployment", "web", "--image=demo:v1", "--replicas=3")
	t.Cleanup(func() { c.kubectl(t, "delete", "deployment,service", "web", "--ignore-not-found") })
	contains(t, "rollout status", c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=90s"), "successfully rolled out")

	contains(t, "get deployments", c.kubectl(t, "get", "deployments"), "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "3/3")
	contains(t, "get pods", c.kubectl(t, "get", "pods", "-o", "wide"), "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES", "1/1", "Running")
	contains(t, "get rs", c.kubectl(t, "get", "rs"), "NAME", "DESIRED", "CURRENT", "READY", "AGE")

	pod := c.get(t, "pods -l app=web", "{.items[0].metadata.name}")
	contains(t, "describe pod", c.kubectl(t, "describe", "pod", pod), "Controlled By:", "ReplicaSet/web-", "Scheduled", "Pulled", "Created", "Started")
	contains(t, "describe deployment", c.kubectl(t, "describe", "deployment", "web"), "3 desired | 3 updated | 3 total | 3 available", "NewReplicaSet")
	contains(t, "logs", c.kubectl(t, "logs", pod), "serving")
	followsLogs(t, c, pod)
	contains(t, "exec", c.kubectl(t, "exec", pod, "--", "/demo", "-version"), "v1")
	terminal(t, c, pod)
	portForward(t, c, pod)
	watched := watches(t, c)

	c.kubectl(t, "scale", "deployment/web", "--replicas=5")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
	if got := c.get(t, "deployment/web", "{.status.readyReplicas}"); got != "5" {
		t.Errorf("ready replicas after scale: %s, want 5", got)
	}
	contains(t, "get -w", watched(), "web-", "ContainerCreating", "Running")
	c.kubectl(t, "expose", "deployment/web", "--port=80", "--target-port=8080")
	contains(t, "get service", c.kubectl(t, "get", "service", "web"), "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "ClusterIP", "80/TCP")
	eventually(t, 10*time.Second, "endpoint slices list five addresses", func() error {
		return want(len(strings.Fields(c.get(t, "endpointslices -l kubernetes.io/service-name=web", "{.items[*].endpoints[*].addresses[0]}"))), 5)
	})
	c.kubectl(t, "delete", "deployment", "web")
	eventually(t, 60*time.Second, "pods of a deleted deployment go", func() error {
		return want(c.get(t, "pods -l app=web", "{.items[*].metadata.name}"), "")
	})
}

func want[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// followsLogs: logs -f delivers a line that is written after it began.
func followsLogs(t *testing.T, c *cluster, pod string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	type answer struct{ out string }
	done := make(chan answer, 1)
	go func() {
		out, _ := c.tryKubectl(ctx, "", "logs", "-f", pod)
		done <- answer{out}
	}()
	time.Sleep(2 * time.Second)
	c.kubectl(t, "exec", pod, "--", "/demo", "-get", "http://127.0.0.1:8080/hostname")
	time.Sleep(2 * time.Second)
	cancel()
	contains(t, "logs -f", (<-done).out, "path=/hostname")
}

// terminal: exec -it gives a command a terminal and the exit code back.
func terminal(t *testing.T, c *cluster, pod string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ask := func(flag string) (string, error) {
		argv := strings.Join(c.kubectlArgv("exec", "-it", pod, "--", "/demo", flag), " ")
		// A terminal whose input ends at once ends the command.
		return run(ctx, []string{"KUBECONFIG=" + c.kubeconfig, "TERM=xterm"}, "", "sh", "-c", "sleep 2 | script -qec '"+argv+"' /dev/null")
	}
	if out, err := ask("-version"); err != nil || !strings.Contains(out, "v1") {
		t.Errorf("exec -it: %v\n%s", err, out)
	}
	if out, err := ask("-no-such-flag"); err == nil {
		t.Errorf("exec -it of a command that fails:\n%s", out)
	}
}

// watches begins a get -w of pods; what it answers ends it and tells what it
// printed.
func watches(t *testing.T, c *cluster) (end func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan string, 1)
	go func() {
		out, _ := c.tryKubectl(ctx, "", "get", "pods", "-w", "-l", "app=web", "--output-watch-events")
		done <- out
	}()
	time.Sleep(time.Second) // what is there has been printed
	return func() string {
		cancel()
		return <-done
	}
}

// portForward: a request through kubectl port-forward reaches the pod.
func portForward(t *testing.T, c *cluster, pod string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	port := freePort(t)
	go func() { _, _ = c.tryKubectl(ctx, "", "port-forward", "pod/"+pod, port+":8080") }()
	eventually(t, 15*time.Second, "port-forward answers", func() error {
		body, err := httpGet(ctx, "http://127.0.0.1:"+port+"/")
		if err == nil && !strings.Contains(body, pod) {
			err = fmt.Errorf("answer %q does not name %s", body, pod)
		}
		return err
	})
}

// testApply: apply and server-side apply of files with several documents.
func testApply(t *testing.T, c *cluster) {
	docs := func(replicas int, color string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: %s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: web
        image: demo:v1
        env: [{name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}]
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
`, color, replicas)
	}
	t.Cleanup(func() {
		c.kubectl(t, "delete", "deployment/shop", "service/shop", "configmap/settings", "configmap/shared", "--ignore-not-found")
	})
	contains(t, "apply", c.kubectlIn(t, docs(1, "blue"), "apply", "-f", "-"), "configmap/settings created", "deployment.apps/shop created", "service/shop created")
	contains(t, "apply again", c.kubectlIn(t, docs(1, "blue"), "apply", "-f", "-"), "configmap/settings unchanged", "deployment.apps/shop unchanged")
	contains(t, "apply change", c.kubectlIn(t, docs(2, "green"), "apply", "-f", "-"), "configmap/settings configured", "deployment.apps/shop configured")
	c.kubectl(t, "rollout", "status", "deployment/shop", "--timeout=60s")
	pod := c.get(t, "pods -l app=shop", "{.items[0].metadata.name}")
	if color := strings.TrimSpace(c.kubectl(t, "exec", pod, "--", "/demo", "-env", "COLOR")); color != "blue" && color != "green" {
		t.Errorf("COLOR in the pod is %q, want what the ConfigMap said when it started", color)
	}

	c.kubectl(t, "create", "configmap", "shared", "--from-literal=color=green")
	ssa := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {size: large}\n"
	contains(t, "server-side apply", c.kubectlIn(t, ssa, "apply", "--server-side", "--field-manager=e2e", "-f", "-"), "serverside-applied")
	if got := c.get(t, "configmap/shared", "{.data.color} {.data.size}"); got != "green large" {
		t.Errorf("two managers' fields: %q, want both", got)
	}
	conflict := c.refused(t, strings.ReplaceAll(ssa, "size: large", "size: small"), "apply", "--server-side", "--field-manager=other", "-f", "-")
	contains(t, "conflict", conflict, `conflict with "e2e"`, ".data.size")
	contains(t, "diff", c.refused(t, docs(3, "green"), "diff", "-f", "-"), "-  replicas: 2", "+  replicas: 3")
	contains(t, "explain", c.kubectl(t, "explain", "deployment.spec.strategy"), "RollingUpdate")
}

// testProbes: readiness keeps a pod out of its Service, liveness restarts it,
// a startup probe holds the others back.
func testProbes(t *testing.T, c *cluster) {
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod", "probed", "tcp-probed", "--ignore-not-found", "--grace-period=1")
	})
	c.kubectlIn(t, `apiVersion: v1
kind: Pod
metadata: {name: probed, labels: {app: probed}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: demo:v1
    readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 2}
    startupProbe: {exec: {command: [/demo, -get, "http://127.0.0.1:8080/healthz"]}, periodSeconds: 1, failureThreshold: 30}
---
apiVersion: v1
kind: Pod
metadata: {name: tcp-probed}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: demo:v1
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`, "apply", "-f", "-")
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/probed", "pod/tcp-probed", "--timeout=60s")
	c.kubectl(t, "exec", "probed", "--", "/demo", "-post", "http://127.0.0.1:8080/fail/ready")
	c.kubectl(t, "wait", "--for=condition=Ready=false", "pod/probed", "--timeout=20s")
	c.kubectl(t, "exec", "probed", "--", "/demo", "-post", "http://127.0.0.1:8080/fail/health")
	eventually(t, 60*time.Second, "a failing liveness probe restarts the container", func() error {
		return want(c.get(t, "pod/probed", "{.status.containerStatuses[0].restartCount}"), "1")
	})
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/probed", "--timeout=60s")
	contains(t, "events", c.kubectl(t, "describe", "pod", "probed"), "Unhealthy", "Liveness probe failed")
}

// testRestart: the control plane is killed and started again; the cluster is
// as it was and containers ran on.
func testRestart(t *testing.T, c *cluster) {
	t.Cleanup(func() { c.kubectl(t, "delete", "deployment", "steady", "--ignore-not-found") })
	c.kubectl(t, "create", "deployment", "steady", "--image=demo:v1", "--replicas=2")
	c.kubectl(t, "rollout", "status", "deployment/steady", "--timeout=60s")
	before := c.get(t, "pods -l app=steady", "{range .items[*]}{.metadata.uid}={.status.containerStatuses[0].containerID} {end}")
	c.pintle(t, "lab", "restart", "--dir", c.dir, "--kill", "server")
	c.pintle(t, "lab", "restart", "--dir", c.dir, "--kill", "node1")
	eventually(t, 60*time.Second, "nodes are Ready again", func() error {
		out, err := c.tryKubectl(t.Context(), "", "get", "nodes", "--no-headers")
		if err == nil && strings.Count(out, " Ready ") != 3 {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	after := c.get(t, "pods -l app=steady", "{range .items[*]}{.metadata.uid}={.status.containerStatuses[0].containerID} {end}")
	if before != after {
		t.Errorf("containers did not run on:\nbefore %s\nafter  %s", before, after)
	}
	c.kubectl(t, "scale", "deployment/steady", "--replicas=3")
	c.kubectl(t, "rollout", "status", "deployment/steady", "--timeout=60s")
}

func status(t testing.TB, c *cluster) (nodes []struct {
	Name  string
	Cable bool
}) {
	t.Helper()
	var st struct {
		Nodes []struct {
			Name  string
			Cable bool
		}
	}
	if err := json.Unmarshal([]byte(c.pintle(t, "lab", "status", "--dir", c.dir, "-o", "json")), &st); err != nil {
		t.Fatal(err)
	}
	return st.Nodes
}
