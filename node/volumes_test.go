package node_test

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/mount"
)

// log returns what the first instance of a container wrote.
func (c *cluster) log(pod, container string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.cfg.Root, "logs", "default_"+pod+"_uid-"+pod, container, "0.log"))
	if err != nil {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if f := strings.SplitN(line, " ", 4); len(f) == 4 {
			out.WriteString(f[3])
		}
	}
	return out.String()
}

func TestVolumesAndEnvironment(t *testing.T) {
	c := newCluster(t)
	for _, o := range []any{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"color": "red", "size": "10"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sec", Namespace: "default"}, Data: map[string][]byte{"password": []byte("hunter2")}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "my-db", Namespace: "default"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Port: 5432}}}},
	} {
		var err error
		switch o := o.(type) {
		case *corev1.ConfigMap:
			_, err = c.client.CoreV1().ConfigMaps("default").Create(t.Context(), o, metav1.CreateOptions{})
		case *corev1.Secret:
			_, err = c.client.CoreV1().Secrets("default").Create(t.Context(), o, metav1.CreateOptions{})
		case *corev1.Service:
			_, err = c.client.CoreV1().Services("default").Create(t.Context(), o, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	script := `
echo color=$COLOR pass=$PASS all=$CFG_size both=$BOTH db=$MY_DB_SERVICE_HOST:$MY_DB_SERVICE_PORT cpu=$CPU
echo file=$(cat /cm/color) secret=$(cat /sec/password) mode=$(stat -L -c %a /sec/password)
echo token=$(cat /var/run/secrets/token) ns=$(cat /var/run/secrets/namespace)
echo sub=$(cat /one/color) label=$(cat /info/labels)
echo memory=$(grep -c ' /mem tmpfs' /proc/mounts) id=$(id -u):$(id -g)
touch /scratch/x && stat -c 'scratch %g' /scratch/x
touch /cm/new 2>/dev/null || echo read-only
grep -c alias.example /etc/hosts
while true; do echo $(cat /cm/color); sleep 0.2; done`
	app := shellLog("app", script)
	app.Env = []corev1.EnvVar{
		{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "color"}}},
		{Name: "PASS", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "sec"}, Key: "password"}}},
		{Name: "BOTH", Value: "$(COLOR)-$(PASS)-$$(X)"},
		{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("1m")}}},
	}
	app.EnvFrom = []corev1.EnvFromSource{{Prefix: "CFG_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}
	app.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	app.VolumeMounts = []corev1.VolumeMount{
		{Name: "cm", MountPath: "/cm"}, {Name: "sec", MountPath: "/sec"}, {Name: "api", MountPath: "/var/run/secrets"},
		{Name: "cm", MountPath: "/one/color", SubPath: "color"}, {Name: "info", MountPath: "/info"},
		{Name: "mem", MountPath: "/mem"}, {Name: "scratch", MountPath: "/scratch"},
	}
	c.pod("vol", corev1.PodSpec{
		Containers:      []corev1.Container{app},
		HostAliases:     []corev1.HostAlias{{IP: "10.1.2.3", Hostnames: []string{"alias.example"}}},
		SecurityContext: &corev1.PodSecurityContext{FSGroup: ptr.To[int64](2000), RunAsUser: ptr.To[int64](1000), RunAsGroup: ptr.To[int64](1001)},
		Volumes: []corev1.Volume{
			{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}},
			{Name: "sec", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "sec", DefaultMode: ptr.To[int32](0o400)}}},
			{Name: "api", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
			}}}},
			{Name: "info", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.uid"}}}}}},
			{Name: "mem", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	})
	c.await("vol", "pod is ready", ready)
	for _, want := range []string{
		"color=red pass=hunter2 all=10 both=red-hunter2-$(X) db=10.96.0.7:5432 cpu=250\n",
		"file=red secret=hunter2 mode=440\n", "token=the-token ns=default\n", "sub=red label=uid-vol\n",
		"memory=1 id=1000:1001\n", "scratch 2000\n", "read-only\n1\nred\n",
	} {
		eventually(t, "output "+want, func() bool { return strings.Contains(c.log("vol", "app"), want) }, func() string { return c.log("vol", "app") })
	}
	cm, err := c.client.CoreV1().ConfigMaps("default").Get(t.Context(), "cm", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data["color"] = "blue"
	if _, err := c.client.CoreV1().ConfigMaps("default").Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mounted file changes", func() bool { return strings.HasSuffix(c.log("vol", "app"), "blue\n") }, func() string { return "" })
	c.delete("vol", 0)
	if left, err := mount.Below(filepath.Join(c.cfg.Root, "pods", "uid-vol")); err != nil || len(left) > 0 {
		t.Errorf("mounts left: %v %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(c.cfg.Root, "pods", "uid-vol")); !os.IsNotExist(err) {
		t.Errorf("pod directory left: %v", err)
	}
}

func TestMissingConfigMapIsWaitedFor(t *testing.T) {
	c := newCluster(t)
	app := shellLog("app", "echo got $V; sleep 1000")
	app.Env = []corev1.EnvVar{{Name: "V", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "later"}, Key: "k"}}}}
	c.pod("wait", corev1.PodSpec{Containers: []corev1.Container{app}})
	c.await("wait", "container waits", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError" &&
			strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, `configmap "later" not found`)
	})
	if _, err := c.client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: "default"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.await("wait", "pod is ready", ready)
}

func TestProbesAndHooks(t *testing.T) {
	c := newCluster(t)
	port := freePort()
	app := demo(port)
	app.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}, PeriodSeconds: 1, FailureThreshold: 30}
	app.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt(port)}}, PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 2}
	app.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt(port)}}, PeriodSeconds: 1, FailureThreshold: 1}
	c.pod("probed", corev1.PodSpec{Containers: []corev1.Container{app}, TerminationGracePeriodSeconds: ptr.To[int64](5)})
	c.await("probed", "pod is ready", ready)
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	post(t, url+"/fail/ready")
	c.await("probed", "pod is not ready", func(p *corev1.Pod) bool { return !ready(p) })
	post(t, url+"/fail/health")
	p := c.await("probed", "container was restarted and is ready", func(p *corev1.Pod) bool {
		return p.Status.ContainerStatuses[0].RestartCount == 1 && ready(p)
	})
	if got := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; got == nil || got.Reason != "Completed" {
		t.Errorf("last state: got %+v", got)
	}
	for _, want := range []string{"Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 500", "Killing: Container app failed liveness probe, will be restarted"} {
		eventually(t, "event "+want, func() bool { return strings.Contains(c.events("probed"), want) }, func() string { return c.events("probed") })
	}

	dir := t.TempDir()
	hooked := shellLog("app", "trap 'echo term >> /out/order; exit 0' TERM; while true; do sleep 0.1; done")
	hooked.VolumeMounts = []corev1.VolumeMount{{Name: "out", MountPath: "/out"}}
	hooked.Lifecycle = &corev1.Lifecycle{
		PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/sh", "-c", "echo start >> /out/order"}}},
		PreStop:   &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/sh", "-c", "echo prestop >> /out/order"}}},
	}
	c.pod("hooked", corev1.PodSpec{Containers: []corev1.Container{hooked}, Volumes: []corev1.Volume{{Name: "out", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}}})
	c.await("hooked", "pod is ready", ready)
	c.delete("hooked", 10)
	b, err := os.ReadFile(filepath.Join(dir, "order"))
	if got, want := string(b), "start\nprestop\nterm\n"; err != nil || got != want {
		t.Errorf("order: got %q %v, want %q", got, err, want)
	}
}

// An image as a volume, where the runtime can mount one; elsewhere the container
// waits and says why, and does not run without it.
func TestImageVolume(t *testing.T) {
	c := newCluster(t)
	app := shellLog("app", "ls /img/bin/sh && echo mounted; touch /img/x 2>/dev/null || echo read-only; sleep 1000")
	app.VolumeMounts = []corev1.VolumeMount{{Name: "img", MountPath: "/img"}}
	c.pod("image", corev1.PodSpec{Containers: []corev1.Container{app}, Volumes: []corev1.Volume{
		{Name: "img", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: testenv.BusyboxImage, PullPolicy: corev1.PullIfNotPresent}}}}})
	rt, err := cri.Connect("unix://" + filepath.Join(c.cfg.Root, "containerd", "containerd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	can, err := rt.Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if can.ImageMounts.Whole {
		c.await("image", "pod is ready", ready)
		eventually(t, "output", func() bool { return strings.HasSuffix(c.log("image", "app"), "mounted\nread-only\n") }, func() string { return c.log("image", "app") })
	} else {
		c.await("image", "container waits", func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
				p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerError" &&
				strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, "image volumes are not supported by the container runtime, containerd "+strings.TrimPrefix(can.ImageMounts.Runtime, "containerd "))
		})
		eventually(t, "an event", func() bool { return strings.Contains(c.events("image"), "image volumes are not supported") }, func() string { return c.events("image") })
	}
	c.delete("image", 0)
}

// TestDownwardFollows: files of the downward API show labels and annotations
// as they are now.
func TestDownwardFollows(t *testing.T) {
	c := newCluster(t)
	field := func(path, field string) corev1.DownwardAPIVolumeFile {
		return corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}
	}
	p := c.pod("p", corev1.PodSpec{Containers: []corev1.Container{shell("app", "exec sleep 1000")}, Volumes: []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{field("labels", "metadata.labels"), field("note", "metadata.annotations['note']")}}}}}})
	c.await("p", "it runs", ready)
	patch := `{"metadata":{"labels":{"mark":"two"},"annotations":{"note":"two"}}}`
	if _, err := c.client.CoreV1().Pods("default").Patch(t.Context(), "p", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	var got string
	eventually(t, "the files follow", func() bool {
		got = ""
		for _, file := range []string{"labels", "note"} {
			b, err := os.ReadFile(filepath.Join(c.cfg.Root, "pods", string(p.UID), "volumes/d", file))
			if err != nil {
				t.Fatal(err)
			}
			got += string(b)
		}
		return got == `mark="two"two`
	}, func() string { return got })
}

// TestEnvironmentFromFile: what an init container wrote becomes a variable.
func TestEnvironmentFromFile(t *testing.T) {
	c := newCluster(t)
	write, app := shell("write", `echo "KEY='from a file'" >/e/env`), shell("app", `echo "$KEY"`)
	write.VolumeMounts = []corev1.VolumeMount{{Name: "e", MountPath: "/e"}}
	app.Env = []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "e", Path: "env", Key: "KEY"}}}}
	c.pod("p", corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: []corev1.Container{write}, Containers: []corev1.Container{app},
		Volumes: []corev1.Volume{{Name: "e", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}})
	c.await("p", "it ends", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if got := c.log("p", "app"); !strings.Contains(got, "from a file") {
		t.Errorf("got %q", got)
	}
}

// TestTrustBundles: a pod waits for the trust anchors that it projects, and its
// files follow them.
func TestTrustBundles(t *testing.T) {
	c := newCluster(t)
	api := c.client.CertificatesV1().ClusterTrustBundles()
	bundle := func(text string) *certificatesv1.ClusterTrustBundle {
		return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "example.com:s:1", Labels: map[string]string{"alive": "true"}},
			Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: "example.com/s", TrustBundle: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))}}
	}
	app := shellLog("app", "cat /trust/s.pem; exec sleep 1000")
	app.VolumeMounts = []corev1.VolumeMount{{Name: "trust", MountPath: "/trust"}}
	p := c.pod("p", corev1.PodSpec{Containers: []corev1.Container{app}, Volumes: []corev1.Volume{{Name: "trust", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{
			SignerName: ptr.To("example.com/s"), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"alive": "true"}}, Path: "s.pem"}}}}}}}})
	const why = `MountVolume.SetUp failed for volume "trust" : combination of signerName and labelSelector matched zero ClusterTrustBundles`
	eventually(t, "an event says what it waits for", func() bool {
		list, err := c.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
			return e.Reason == "FailedMount" && e.Message == why && e.InvolvedObject.Name == "p"
		})
	}, func() string { return "" })
	c.await("p", "it waits as upstream's would", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodPending && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "ContainerCreating" &&
			slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Reason == "ContainersNotReady" && c.Message == "containers with unready status: [app]"
			})
	})
	if _, err := api.Create(t.Context(), bundle("one"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.await("p", "it runs", ready)
	want := bundle("one").Spec.TrustBundle
	eventually(t, "it reads the bundle", func() bool { return c.log("p", "app") == want }, func() string { return c.log("p", "app") })
	if _, err := api.Update(t.Context(), bundle("two"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.cfg.Root, "pods", string(p.UID), "volumes/trust/s.pem")
	var got []byte
	eventually(t, "the file follows", func() bool {
		var err error
		if got, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		return string(got) == bundle("two").Spec.TrustBundle
	}, func() string { return string(got) })
}
