package hostile_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// hurry creates pods in a namespace from the first moment of the next
// start on, until it is told to stop, and returns those that were admitted.
func (s *server) hurry(t *testing.T, namespace string) (admitted func() []string) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var names []string
	s.early = func() {
		s.early = nil
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					name := fmt.Sprintf("early-%d", number.Add(1))
					if _, err := s.createPod(namespace, name); err == nil {
						mu.Lock()
						names = append(names, name)
						mu.Unlock()
					}
				}
			})
		}
	}
	return func() []string {
		close(end)
		wg.Wait()
		return names
	}
}

// TestNothingPassesBeforePolicies: twenty policies are there when the server
// starts. From the first moment on nothing passes that the last of them
// refuses, and the server says that it is not ready until all are asked.
func TestNothingPassesBeforePolicies(t *testing.T) {
	s := start(t)
	for i := range 19 {
		s.load(t, fmt.Sprintf("calm-%02d", i), s.hostilePlugin(t, v1alpha1.HostWASM, "validate", "nothing"))
	}
	deny := s.hostilePlugin(t, v1alpha1.HostWASM, "validate", "deny")
	deny.Order = 1000
	s.load(t, "zz-deny", deny)
	s.phase(t, "zz-deny", v1alpha1.Ready)
	for round := range 3 {
		admitted := s.hurry(t, guests.Namespace)
		s.restart(t)
		if _, err := s.createPod(guests.Namespace, "late"); !apierrors.IsForbidden(err) {
			t.Fatalf("the policy does not refuse: %v", err)
		}
		if names := admitted(); len(names) > 0 {
			t.Errorf("start %d: %d pods passed a policy that refuses all, the first %s", round, len(names), names[0])
		}
	}
}

// TestFirstStart: what ships is asked from the first request of a cluster that
// has never run, of which no Plugin resource says anything yet.
func TestFirstStart(t *testing.T) {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: dir}
	s.configure = func(c *kernel.Config) {
		c.Builtins = append(c.Builtins, plugin.Builtin{Name: "shipped", Spec: v1alpha1.PluginSpec{Plugin: "hostile", Host: v1alpha1.HostNative,
			Config: &runtime.RawExtension{Raw: []byte(`{"at":"everything","do":"deny"}`)}}})
	}
	admitted := s.hurry(t, metav1.NamespaceDefault)
	s.run(t)
	if _, err := s.createPod(metav1.NamespaceDefault, "late"); !apierrors.IsForbidden(err) {
		t.Fatalf("the policy does not refuse: %v", err)
	}
	if names := admitted(); len(names) > 0 {
		t.Errorf("%d pods passed a policy that refuses all, the first %s", len(names), names[0])
	}
}

// TestStopAsksToTheEnd: a server that stops asks its policies about the last of
// its requests.
func TestStopAsksToTheEnd(t *testing.T) {
	s := start(t)
	s.load(t, "deny", s.hostilePlugin(t, v1alpha1.HostWASM, "validate", "deny"))
	s.phase(t, "deny", v1alpha1.Ready)
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				if _, err := s.createPod(guests.Namespace, fmt.Sprintf("last-%d", number.Add(1))); err == nil {
					t.Error("a pod passed while the server stopped")
					return
				}
			}
		})
	}
	s.stop()
	close(end)
	wg.Wait()
}

// lose takes a stored module away, as a damaged or half restored store would.
func (s *server) lose(t *testing.T, digest string) {
	t.Helper()
	l, err := s.as(admin).List(s.ctx, target(v1alpha1.Modules, "", ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		if m, ok := o.Obj.(*v1alpha1.PluginModule); ok && m.Digest == digest {
			if _, err := s.as(admin).Delete(s.ctx, target(v1alpha1.Modules, "", o.Name), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMissingPolicies: policies that cannot be loaded after a start. What they
// matched is refused under Fail and passes with a warning under Ignore; other
// requests go on, and mending or removing the Plugin ends it.
func TestMissingPolicies(t *testing.T) {
	beside(t)
	for _, host := range []v1alpha1.HostKind{v1alpha1.HostWASM, v1alpha1.HostProcess} {
		t.Run(string(host), func(t *testing.T) {
			s := start(t)
			name := "gone-" + string(host)
			spec := s.hostilePlugin(t, host, "validate", "nothing")
			code := build(t, host, "guests")
			// Something that nobody else has stored.
			unique := append(slices.Clone(code), []byte(name)...)
			if host == v1alpha1.HostWASM {
				unique = append(slices.Clone(code), customSection(name)...)
			}
			spec.Digest = s.upload(t, unique)
			s.load(t, name, spec)
			s.phase(t, name, v1alpha1.Ready)
			s.lose(t, spec.Digest)
			s.restart(t)
			_, err := s.createPod(guests.Namespace, "refused")
			want := fmt.Sprintf("Mend the Plugin %q or delete it", name)
			if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--disable-plugin "+name) {
				t.Errorf("a pod that the policy matches: %v, want a refusal with %q", err, want)
			}
			s.neighbourAnswers(t) // elsewhere life goes on

			s.change(t, name, func(p *v1alpha1.Plugin) { p.Spec.FailurePolicy = v1alpha1.Ignore })
			var warnings []string
			await(t, "under Ignore pods pass", func() bool {
				warnings, err = s.createPod(guests.Namespace, fmt.Sprintf("ignored-%d", number.Add(1)))
				return err == nil
			})
			if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "was ignored") }) {
				t.Errorf("it passed without a warning: %q", warnings)
			}
			s.change(t, name, func(p *v1alpha1.Plugin) { p.Spec.FailurePolicy = v1alpha1.Fail })
			await(t, "under Fail they are refused again", func() bool {
				_, err := s.createPod(guests.Namespace, fmt.Sprintf("refused-%d", number.Add(1)))
				return apierrors.IsInternalError(err)
			})

			s.upload(t, unique)
			s.phase(t, name, v1alpha1.Ready)
			s.peaceful(t)
			s.remove(t, name)
		})
	}
}

// customSection is a WASM section that changes nothing but the digest.
func customSection(name string) []byte {
	return append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)
}

// change updates a Plugin.
func (s *server) change(t *testing.T, name string, f func(*v1alpha1.Plugin)) {
	t.Helper()
	await(t, "the Plugin is updated", func() bool {
		p := s.plugin(t, name).DeepCopy()
		f(p)
		p.ResourceVersion = ""
		_, err := s.as(admin).Update(s.ctx, target(v1alpha1.Plugins, "", name), p, noOptions)
		return err == nil
	})
}

// TestNeverLoadedPolicy: a Plugin that says by spec.match that it is a policy is
// one before it was ever loaded.
func TestNeverLoadedPolicy(t *testing.T) {
	s := start(t)
	spec := v1alpha1.PluginSpec{Host: v1alpha1.HostWASM, Digest: v1alpha1.DigestOf([]byte("nowhere")),
		Match: []v1alpha1.MatchRule{{Resources: []string{"v1/pods"}, Namespaces: []string{guests.Namespace}}}}
	s.load(t, "never", spec)
	s.phase(t, "never", v1alpha1.Pending)
	await(t, "pods are refused", func() bool {
		_, err := s.createPod(guests.Namespace, fmt.Sprintf("never-%d", number.Add(1)))
		return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "has not been uploaded")
	})
	s.neighbourAnswers(t)
	s.remove(t, "never")
	s.peaceful(t)
}

// TestReplacedUnderLoad: while versions of a policy are exchanged, every request
// is asked by one of them.
func TestReplacedUnderLoad(t *testing.T) {
	beside(t)
	s := start(t)
	for _, failure := range []v1alpha1.FailurePolicy{v1alpha1.Fail, v1alpha1.Ignore} {
		spec := s.hostilePlugin(t, v1alpha1.HostWASM, "validate", "deny")
		spec.FailurePolicy = failure
		name := "swapped-" + strings.ToLower(string(failure))
		s.load(t, name, spec)
		s.phase(t, name, v1alpha1.Ready)
		end := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					if _, err := s.createPod(guests.Namespace, fmt.Sprintf("swap-%d", number.Add(1))); !apierrors.IsForbidden(err) {
						t.Errorf("%s: a pod was not refused by the policy: %v", failure, err)
						return
					}
				}
			})
		}
		for i := range 5 {
			order := int32(i + 1)
			s.change(t, name, func(p *v1alpha1.Plugin) { p.Spec.Order = order })
			await(t, "the version is loaded", func() bool {
				p := s.plugin(t, name)
				return p.Status.ObservedGeneration == p.Generation && p.Status.Phase == v1alpha1.Ready
			})
		}
		close(end)
		wg.Wait()
		s.remove(t, name)
	}
}

// TestWayIn: a policy that refuses everything locks the cluster out. Plugins
// can be removed all the same; and a server that is told to leaves it out.
func TestWayIn(t *testing.T) {
	beside(t)
	for _, tell := range []string{"lockout", loader.DisableAll} {
		t.Run(tell, func(t *testing.T) {
			s := start(t)
			spec := s.hostilePlugin(t, v1alpha1.HostWASM, "everything", "deny")
			s.load(t, "lockout", spec)
			s.phase(t, "lockout", v1alpha1.Ready)
			if _, err := s.createPod("bystander", "locked-out"); !apierrors.IsForbidden(err) {
				t.Fatalf("the policy does not refuse: %v", err)
			}
			s.configure = func(c *kernel.Config) { c.DisabledPlugins = []string{tell, "no-such-plugin"} }
			s.restart(t)
			if tell == loader.DisableAll {
				s.phase(t, "neighbour", v1alpha1.Disabled)
			}
			s.phase(t, "scheduling", v1alpha1.Ready) // what ships, by its name only
			if _, err := s.createPod("bystander", "let-in"); err != nil {
				t.Errorf("with the policy disabled: %v", err)
			}
			s.phase(t, "lockout", v1alpha1.Disabled)
			s.says(t, "lockout", "event Disabled: .*--disable-plugin")

			s.configure = nil
			s.restart(t)
			if _, err := s.createPod("bystander", "locked-out-again"); !apierrors.IsForbidden(err) {
				t.Errorf("without the flag the policy does not refuse: %v", err)
			}
			s.remove(t, "lockout") // it is not asked about itself
			if tell == "lockout" {
				s.peaceful(t)
			}
		})
	}
}

// TestSlowPolicy: a policy that never ends its start holds up what it matches
// and nothing else.
func TestSlowPolicy(t *testing.T) {
	beside(t)
	s := start(t)
	spec := s.hostilePlugin(t, v1alpha1.HostWASM, "open", "sleep")
	spec.Match = []v1alpha1.MatchRule{{Resources: []string{"v1/pods"}, Namespaces: []string{guests.Namespace}}}
	s.load(t, "slow", spec)
	_, err := s.createPod(guests.Namespace, "held")
	for tries := 0; err == nil && tries < 10; tries++ { // the Plugin is created, but not seen yet
		_, err = s.createPod(guests.Namespace, fmt.Sprintf("held-%d", tries))
	}
	if !apierrors.IsInternalError(err) {
		t.Errorf("a pod that the policy matches: %v", err)
	}
	s.neighbourAnswers(t)
	s.restart(t)
	if _, err := s.createPod(guests.Namespace, "held-again"); !apierrors.IsInternalError(err) {
		t.Errorf("after a restart: %v", err)
	}
	s.neighbourAnswers(t)
	s.remove(t, "slow")
	s.peaceful(t)
}

// readyz is what /readyz answers.
func (s *server) readyz() (code int, body string) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer c.CloseIdleConnections()
	resp, err := c.Get("https://" + s.addr + "/readyz?verbose")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// TestReadiness: /readyz names the policies while one is being loaded.
func TestReadiness(t *testing.T) {
	beside(t)
	s := start(t)
	spec := s.hostilePlugin(t, v1alpha1.HostWASM, "open", "sleep")
	spec.Match = []v1alpha1.MatchRule{{Resources: []string{"v1/pods"}, Namespaces: []string{guests.Namespace}}}
	s.load(t, "slow", spec)
	s.phase(t, "slow", v1alpha1.Failed)
	unready := make(chan string, 1)
	s.early = func() {
		go func() {
			for {
				if code, body := s.readyz(); code != 0 {
					unready <- body
					return
				}
			}
		}()
	}
	s.restart(t)
	if body := <-unready; !strings.Contains(body, "[-]policies failed") {
		t.Errorf("the first answer of /readyz: %s", body)
	}
	if code, body := s.readyz(); code != http.StatusOK || !strings.Contains(body, "[+]policies ok") {
		t.Errorf("after the start: %d %s", code, body)
	}
}

// do asks the API as the administrator.
func (s *server) do(t *testing.T, method, path string) (code int, body string) {
	t.Helper()
	admin := s.PKI().Admin()
	pair, err := tls.X509KeyPair(admin.CertPEM, admin.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestConnectIsAsked: a policy about CONNECT is asked about exec and proxies,
// and not about what it does not match.
func TestConnectIsAsked(t *testing.T) {
	beside(t)
	s := start(t)
	if _, err := s.createPod("bystander", "target"); err != nil {
		t.Fatal(err)
	}
	s.awaitBound(t, "bystander", "target")
	const pod = "/api/v1/namespaces/bystander/pods/target"
	const refusal = `admission policy \"no-exec\" denied the request`
	s.load(t, "no-exec", s.hostilePlugin(t, v1alpha1.HostWASM, "connect", "deny"))
	s.phase(t, "no-exec", v1alpha1.Ready)
	for path, refused := range map[string]bool{"/exec?command=id&stdout=true": true, "/attach?stdout=true": false, "/portforward": false, "/log": false} {
		method := http.MethodPost
		if path == "/log" {
			method = http.MethodGet
		}
		code, body := s.do(t, method, pod+path)
		if strings.Contains(body, refusal) != refused || refused && code != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	s.remove(t, "no-exec")
	if _, body := s.do(t, http.MethodPost, pod+"/exec?command=id&stdout=true"); strings.Contains(body, refusal) {
		t.Errorf("without the policy: %s", body)
	}
}
