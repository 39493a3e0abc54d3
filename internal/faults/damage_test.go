package faults

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestDamagedLog takes the log away under a server that was stopped, reads what
// it says, and does that: everything is there again. It then goes back to a
// snapshot.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir(), "--unsafe-no-fsync")
	s.start()
	ctx := t.Context()
	if err := big(ctx, s.client(), "in-the-snapshot"); err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(t.TempDir(), "snapshot")
	if out, err := s.run(ctx, "store", "snapshot", snapshot); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(snapshot); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a snapshot, which holds every Secret, is %v: %v", info.Mode(), err)
	}
	strangers(t, s)
	if err := big(ctx, s.client(), "later"); err != nil {
		t.Fatal(err)
	}
	if out, err := s.run(ctx, "store", "restore", "--data-dir", s.dir, snapshot); err == nil || !strings.Contains(out, "already running") {
		t.Errorf("restored under a running server: %v: %s", err, out)
	}
	s.stop()

	member := filepath.Join(s.dir, "etcd", "etcd", "member")
	if err := os.RemoveAll(filepath.Join(member, "wal")); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, "member/wal holds no log")
	restore := func(args ...string) {
		t.Helper()
		if out, err := s.run(ctx, append([]string{"store", "restore", "--data-dir", s.dir}, args...)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		s.start()
	}
	has := func(name string, want bool) {
		t.Helper()
		_, err := s.client().CoreV1().ConfigMaps("default").Get(ctx, name, metav1.GetOptions{})
		if (err == nil) != want {
			t.Errorf("%s is to be there: %v, got %v", name, want, err)
		}
	}
	restore("--skip-hash-check", filepath.Join(member, "snap", "db"))
	has("in-the-snapshot", true)
	has("later", true)
	s.stop()
	restore(snapshot)
	has("in-the-snapshot", true)
	has("later", false)
	if err := big(ctx, s.client(), "afterwards"); err != nil {
		t.Error(err)
	}
	s.stop()
	if err := os.RemoveAll(filepath.Join(s.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, "the data of the cluster are missing")
}

// refuses starts a server that must end, with a reason and few words.
func refuses(t *testing.T, s *server, reason string) {
	t.Helper()
	s.launch()
	if err := s.end(time.Minute); err == nil || errors.Is(err, errRuns) {
		t.Fatalf("started: %v", err)
	}
	out := s.out.String()
	if !strings.Contains(out, reason) || !strings.Contains(out, "pintle store restore") || strings.Contains(out, "goroutine") {
		t.Errorf("the server does not say %q:\n%s", reason, out)
	}
	if n := strings.Count(out, "\n"); n > 30 {
		t.Errorf("%d lines say why the server does not start", n)
	}
}

// strangers try what only cluster administrators may: a snapshot holds every
// Secret, and reclaiming space stops the store for a while.
func strangers(t *testing.T, s *server) {
	t.Helper()
	admin, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	anonymous := rest.AnonymousClientConfig(admin)
	tenant := rest.AnonymousClientConfig(admin)
	wait(t, "the tenant's account is there", func() error {
		got, err := s.client().CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			tenant.BearerToken = got.Status.Token
		}
		return err
	})
	for who, c := range map[string]*rest.Config{"anonymous": anonymous, "tenant": tenant} {
		client := kubernetes.NewForConfigOrDie(c).RESTClient()
		for path, verb := range map[string]string{"/store/status": "GET", "/store/reclaim": "POST", "/store/snapshot": "GET"} {
			err := client.Verb(verb).AbsPath(path).Do(t.Context()).Error()
			if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
				t.Errorf("%s %s as %s is answered: %v", verb, path, who, err)
			}
		}
	}
}
