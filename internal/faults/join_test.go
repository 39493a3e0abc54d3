package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// command runs pintle and returns what it prints.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(pintle(t), args...).Output()
	if err != nil {
		t.Fatalf("pintle %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// refused starts a server that ends by itself, saying this.
func (s *server) refused(says ...string) {
	s.t.Helper()
	s.launch()
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		s.t.Fatal("the server runs")
	}
	for _, text := range says {
		if !strings.Contains(s.out.String(), text) {
			s.t.Errorf("it does not say %q:\n%s", text, s.out)
		}
	}
}

// at is one server's configuration of a client, used at another server.
func (s *server) at(other *server) *rest.Config {
	s.t.Helper()
	c, err := s.config()
	if err != nil {
		s.t.Fatal(err)
	}
	c.Host = "https://" + other.addr
	return c
}

func clientset(t *testing.T, c *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// trustEachOther: certificates and tokens of either server are good at both.
func trustEachOther(t *testing.T, servers ...*server) {
	t.Helper()
	for _, by := range servers {
		own := clientset(t, by.at(by))
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "joiner-", Namespace: "default"}}
		account, err := own.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := own.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range servers {
			if _, err := clientset(t, by.at(at)).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Errorf("certificate and CA of %s at %s: %v", by.dir, at.dir, err)
			}
			c := rest.AnonymousClientConfig(by.at(at))
			c.BearerToken = token.Status.Token
			r, err := clientset(t, c).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if want := "system:serviceaccount:default:" + account.Name; err != nil || r.Status.UserInfo.Username != want {
				t.Errorf("token of %s at %s: %v, %v, want %s", by.dir, at.dir, r.Status.UserInfo.Username, err, want)
			}
		}
	}
}

// leader is the identity of who leads.
func leader(t *testing.T, cs *kubernetes.Clientset) string {
	l, err := cs.CoordinationV1().Leases("kube-system").Get(t.Context(), "pintle-leader", metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// TestServerJoins: a server with an empty directory, the addresses of the etcd and
// a token is one of the cluster's; it goes on when the first one is killed. A
// server that lacks keys and has no token, or a wrong one, says so and ends; it
// never makes others.
func TestServerJoins(t *testing.T) {
	etcd, root := newMembers(t, 1), t.TempDir()
	a := newServer(t, filepath.Join(root, "a"), etcd.flags()...)
	a.start()
	b := newServer(t, filepath.Join(root, "b"), etcd.flags()...)
	b.refused("lacks keys of the cluster", "--token-file", "pintle token create --server")

	file := filepath.Join(root, "token")
	b.args = append(b.args, "--token-file", file)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(command(t, "token", "generate"))
	b.refused("the server token opens no keys of this cluster", "pintle token create --server")
	token := command(t, "token", "create", "--server", "--print-token", "--kubeconfig", filepath.Join(a.dir, "admin.kubeconfig"))
	write(token)
	b.start()
	trustEachOther(t, a, b)
	explainAtBoth(t, a, b)

	first, at := leader(t, clientset(t, a.at(a))), clientset(t, b.at(b))
	a.kill()
	wait(t, "the second server leads", func() error {
		if l := leader(t, at); l == "" || l == first {
			return errors.New("nobody else leads")
		}
		return nil
	})
	leads(t, at)

	// The first machine is lost with its disk, and set up anew.
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	a.refused("lacks keys of the cluster")
	a.args = append(a.args, "--token-file", file)
	a.start()
	trustEachOther(t, a, b)

	// Files that a crash left out are completed, without others being made.
	a.kill()
	for _, name := range []string{"kubelet-serving-ca.crt", "ca.key", "sa.key"} {
		if err := os.Remove(filepath.Join(a.dir, "pki", name)); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	trustEachOther(t, a, b)

	// A token that was deleted is good for nobody, and nobody who has joined.
	command(t, "token", "delete", strings.Split(token, ".")[1], "--kubeconfig", filepath.Join(b.dir, "admin.kubeconfig"))
	newServer(t, filepath.Join(root, "c"), b.args...).refused("the server token opens no keys of this cluster")
	b.kill()
	b.start()
	trustEachOther(t, a, b)
}

// explainAtBoth: who does not lead asks who does.
func explainAtBoth(t *testing.T, servers ...*server) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "lost", Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}},
		AutomountServiceAccountToken: new(bool)}}
	wait(t, "the default account is there", func() error {
		_, err := servers[0].client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		return err
	})
	for _, s := range servers {
		wait(t, "a verdict", func() error {
			out, err := s.run(t.Context(), "explain", "pod", "lost")
			if err == nil && !strings.Contains(out, "lost is not placed") {
				err = errors.New(out)
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
}

// leads checks that a leader does its work: a Deployment gets its ReplicaSet.
func leads(t *testing.T, cs *kubernetes.Clientset) {
	t.Helper()
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}}}}}
	if _, err := cs.AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "the controllers run", func() error {
		l, err := cs.AppsV1().ReplicaSets("default").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(l.Items) == 0 {
			err = errors.New("no ReplicaSet")
		}
		return err
	})
}

// TestServersBeginTogether: two servers of a new cluster that start at the same
// moment with one token have one set of keys.
func TestServersBeginTogether(t *testing.T) {
	etcd, root := newMembers(t, 1), t.TempDir()
	etcd.store(t) // it answers
	file := filepath.Join(root, "token")
	if err := os.WriteFile(file, []byte(command(t, "token", "generate")), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(etcd.flags(), "--token-file", file)
	a, b := newServer(t, filepath.Join(root, "a"), args...), newServer(t, filepath.Join(root, "b"), args...)
	a.launch()
	b.launch()
	a.ready()
	b.ready()
	trustEachOther(t, a, b)
}

// TestKeysComeBack: a server with its own etcd that has lost its keys makes no
// others; a token that was made before brings them back.
func TestKeysComeBack(t *testing.T) {
	root := t.TempDir()
	s := newServer(t, filepath.Join(root, "s"))
	s.start()
	admin := filepath.Join(s.dir, "admin.kubeconfig")
	token := command(t, "token", "create", "--server", "--ttl", "0", "--print-token", "--kubeconfig", admin)
	before, err := os.ReadFile(filepath.Join(s.dir, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	if err := os.RemoveAll(filepath.Join(s.dir, "pki")); err != nil {
		t.Fatal(err)
	}
	s.refused("lacks keys of the cluster", "--token-file", "--replace-keys")
	file := filepath.Join(root, "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--token-file", file}
	s.start()
	after, err := os.ReadFile(filepath.Join(s.dir, "pki", "ca.crt"))
	if err != nil || string(after) != string(before) {
		t.Errorf("another authority: %v\n%s", err, after)
	}
}
