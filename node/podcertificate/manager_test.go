package podcertificate_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/podcertificate"
)

const signerName = "example.com/signer"

// authority signs as a signer would.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now(), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue answers a request with a certificate for a day that is to be renewed
// after a time.
func (a authority) issue(t *testing.T, c kubernetes.Interface, r *certificatesv1.PodCertificateRequest, renew time.Duration, public any) {
	t.Helper()
	stub, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request)
	if err != nil {
		t.Fatal(err)
	}
	if public == nil {
		public = stub.PublicKey
	}
	from := time.Now().Truncate(time.Second)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(24 * time.Hour), DNSNames: []string{r.Spec.PodName}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	r = r.DeepCopy()
	block := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	r.Status.CertificateChain = "issued for you\n" + block(der) + "and its authority\n" + block(a.cert.Raw)
	r.Status.NotBefore, r.Status.NotAfter, r.Status.BeginRefreshAt = ptr.To(metav1.NewTime(from)), ptr.To(metav1.NewTime(tmpl.NotAfter)), ptr.To(metav1.NewTime(from.Add(renew)))
	settle(t, c, r, certificatesv1.PodCertificateRequestConditionTypeIssued, "Signed", "as you wish")
}

func settle(t *testing.T, c kubernetes.Interface, r *certificatesv1.PodCertificateRequest, condition, reason, message string) {
	t.Helper()
	r = r.DeepCopy()
	r.Status.Conditions = []metav1.Condition{{Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}}
	if _, err := c.CertificatesV1().PodCertificateRequests(r.Namespace).UpdateStatus(t.Context(), r, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// world is an API without a server, a Manager, and time that stands still while
// anybody works.
type world struct {
	*testing.T
	client *fake.Clientset
	m      *podcertificate.Manager
	events *record.FakeRecorder
	told   chan types.UID // of changes
	stop   func()
}

// newWorld makes one in a bubble of synctest.
func newWorld(t *testing.T) *world {
	w := &world{T: t, client: fake.NewSimpleClientset(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "sa", UID: "account"}}), told: make(chan types.UID, 100)}
	var n atomic.Int32
	w.client.PrependReactor("create", "podcertificaterequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		n.Add(1)
		r := a.(clienttesting.CreateAction).GetObject().(*certificatesv1.PodCertificateRequest)
		r.Name, r.UID = fmt.Sprintf("%s%d", r.GenerateName, n.Load()), types.UID(fmt.Sprint(n.Load()))
		return false, nil, nil
	})
	w.start()
	return w
}

func (w *world) start() {
	w.events = record.NewFakeRecorder(100)
	w.m = podcertificate.New(podcertificate.Config{Client: w.client, NodeName: "n1", NodeUID: func() (types.UID, error) { return "node", nil },
		Changed: func(uid types.UID) { w.told <- uid }, Recorder: w.events, Jitter: func() time.Duration { return time.Minute }})
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- w.m.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
	synctest.Wait()
}

func (w *world) end() { w.stop() }

func pod(uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod-" + string(uid), UID: uid}, Spec: corev1.PodSpec{ServiceAccountName: "sa", Volumes: []corev1.Volume{
		{Name: "other"},
		{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{PodCertificate: &corev1.PodCertificateProjection{SignerName: signerName, KeyType: "ECDSAP256", MaxExpirationSeconds: ptr.To[int32](86400), UserAnnotations: map[string]string{"example.com/a": "b"}}},
		}}}}}}}
}

// requests lists the requests that there are, which must be n.
func (w *world) requests(n int) []certificatesv1.PodCertificateRequest {
	w.Helper()
	synctest.Wait()
	list, err := w.client.CertificatesV1().PodCertificateRequests("ns").List(w.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != n {
		w.Fatalf("%d requests (%v), want %d", len(list.Items), err, n)
	}
	return list.Items
}

// credential is what a pod's volume would show.
func (w *world) credential(p *corev1.Pod) (key, chain string, err error) {
	k, c, err := w.m.Credential(w.Context(), p, "v", 1)
	return string(k), string(c), err
}

// fails demands that a pod has no credential, and why.
func (w *world) fails(p *corev1.Pod, want string) {
	w.Helper()
	if _, _, err := w.credential(p); err == nil || err.Error() != want {
		w.Errorf("got %v, want %s", err, want)
	}
}

// heard demands the events and the changes that were told since it was last
// asked.
func (w *world) heard(changes int, events ...string) {
	w.Helper()
	synctest.Wait()
	var got []string
	for len(w.events.Events) > 0 {
		got = append(got, <-w.events.Events)
	}
	n := 0
	for ; len(w.told) > 0; n++ {
		<-w.told
	}
	if fmt.Sprint(got) != fmt.Sprint(events) || n != changes {
		w.Errorf("events %q and %d changes, want %q and %d", got, n, events, changes)
	}
}

func (w *world) state(want string) {
	w.Helper()
	text := "# HELP kubelet_podcertificate_states Gauge vector reporting the number of pod certificate projected volume sources, faceted by signer_name and state.\n" +
		"# TYPE kubelet_podcertificate_states gauge\n" + fmt.Sprintf("kubelet_podcertificate_states{signer_name=%q,state=%q} 1\n", signerName, want)
	if err := testutil.CollectAndCompare(w.m, strings.NewReader(text)); err != nil {
		w.Error(err)
	}
}

// TestIssuedAndRenewed: a pod gets a certificate for a key of its own, another
// one for another key when it is time, and has the old one until then.
func TestIssuedAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ca := newWorld(t), newAuthority(t)
		defer w.end()
		p := pod("a")
		w.m.Hold(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "none"}})
		w.m.Hold(p)
		w.m.Hold(p)
		r := w.requests(1)[0]
		spec := r.Spec
		spec.StubPKCS10Request = nil
		if got, want := fmt.Sprintf("%+v %s %+v", spec, r.GenerateName, r.OwnerReferences), fmt.Sprintf("%+v req- %+v", certificatesv1.PodCertificateRequestSpec{
			SignerName: signerName, PodName: "pod-a", PodUID: "a", ServiceAccountName: "sa", ServiceAccountUID: "account", NodeName: "n1", NodeUID: "node",
			MaxExpirationSeconds: spec.MaxExpirationSeconds, UnverifiedUserAnnotations: map[string]string{"example.com/a": "b"}}, []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "pod-a", UID: "a"}}); got != want || *spec.MaxExpirationSeconds != 86400 {
			t.Errorf("request\n%s, want\n%s", got, want)
		}
		w.fails(p, "credential bundle is not issued yet: PodCertificateRequest ns/req-1 waits for the signer example.com/signer")
		w.state("not_yet_issued")
		ca.issue(t, w.client, &r, 10*time.Hour, nil)
		w.heard(1)
		w.state("fresh")
		key, chain, err := w.credential(p)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
		if err != nil || len(pair.Certificate) != 2 || !strings.HasPrefix(chain, "-----BEGIN CERTIFICATE-----\n") || strings.Contains(chain, "authority") {
			t.Errorf("chain: %v\n%s", err, chain)
		}

		time.Sleep(10*time.Hour + 30*time.Second) // the jitter of a minute is not over
		w.requests(1)
		time.Sleep(time.Minute)
		second := w.requests(2)[1]
		if same, _, err := w.credential(p); err != nil || same != key || string(second.Spec.StubPKCS10Request) == string(r.Spec.StubPKCS10Request) {
			t.Errorf("while it is renewed, the old one serves, and the new one is for another key: %v", err)
		}
		w.heard(0)
		ca.issue(t, w.client, &second, time.Hour, nil)
		w.heard(1)
		if other, chain, err := w.credential(p); err != nil || other == key {
			t.Errorf("renewed: %v", err)
		} else if _, err := tls.X509KeyPair([]byte(chain), []byte(other)); err != nil {
			t.Error(err)
		}

		// A signer that is gone: the pod is told, once each.
		time.Sleep(time.Hour + 2*time.Minute)
		w.requests(3)
		time.Sleep(10 * time.Minute)
		w.state("overdue_for_refresh")
		w.heard(0, "Warning CertificateOverdueForRefresh PodCertificate refresh overdue")
		time.Sleep(24 * time.Hour)
		w.state("expired")
		w.heard(0, "Warning CertificateExpired PodCertificate expired")
		if _, _, err := w.credential(p); err != nil {
			t.Errorf("what it has, it keeps: %v", err)
		}
		late := w.requests(3)[2]
		ca.issue(t, w.client, &late, time.Hour, nil)
		w.heard(1)
		w.state("fresh")
	})
}

// TestRefused: what a signer denies or fails is told, and is not asked again.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		condition, message string
		event, err         string
	}{
		"denied": {certificatesv1.PodCertificateRequestConditionTypeDenied, "not you, %s",
			`Warning Denied PodCertificateRequest ns/req-1 was denied, reason="Policy", message="not you, %s"`,
			`PodCertificateRequest was permanently denied: reason="Policy" message="not you, %s"`},
		"failed": {certificatesv1.PodCertificateRequestConditionTypeFailed, "no ink",
			`Warning Failed PodCertificateRequest ns/req-1 failed, reason="Policy", message="no ink"`,
			`PodCertificateRequest was permanently failed: reason="Policy" message="no ink"`},
		"talkative": {certificatesv1.PodCertificateRequestConditionTypeFailed, strings.Repeat("x", 1025),
			`Warning Failed PodCertificateRequest ns/req-1 failed, reason="Policy", message="` + strings.Repeat("x", 1024) + `…"`,
			`PodCertificateRequest was permanently failed: reason="Policy" message="` + strings.Repeat("x", 1024) + `…"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.end()
				p := pod("a")
				w.m.Hold(p)
				settle(t, w.client, &w.requests(1)[0], tc.condition, "Policy", tc.message)
				w.heard(1, tc.event)
				time.Sleep(100 * time.Hour)
				w.requests(1)
				w.heard(0)
				w.fails(p, tc.err)
				w.state(strings.ToLower(tc.condition))
			})
		})
	}
}

// TestRefusedRenewal: as upstream's, a pod whose renewal is refused has none.
func TestRefusedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ca := newWorld(t), newAuthority(t)
		defer w.end()
		p := pod("a")
		w.m.Hold(p)
		ca.issue(t, w.client, &w.requests(1)[0], time.Hour, nil)
		time.Sleep(2 * time.Hour)
		settle(t, w.client, &w.requests(2)[1], certificatesv1.PodCertificateRequestConditionTypeDenied, "Policy", "no more")
		w.heard(2, "Warning CertificateOverdueForRefresh PodCertificate refresh overdue", `Warning Denied PodCertificateRequest ns/req-2 was denied, reason="Policy", message="no more"`)
		w.fails(p, `PodCertificateRequest was permanently denied: reason="Policy" message="no more"`)
		time.Sleep(100 * time.Hour)
		w.requests(2)
	})
}

// TestUnusableAnswers: what the API server should not let through does no harm.
func TestUnusableAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(r *certificatesv1.PodCertificateRequestStatus)
		want  string
	}{
		"no times": {func(s *certificatesv1.PodCertificateRequestStatus) { s.BeginRefreshAt = nil }, "the signer's answer lacks beginRefreshAt or notAfter"},
		"nothing":  {func(s *certificatesv1.PodCertificateRequestStatus) { s.CertificateChain = "" }, "the signer's answer has no certificate"},
		"no chain": {func(s *certificatesv1.PodCertificateRequestStatus) { s.CertificateChain = "yes" }, "the signer's answer has no certificate"},
		"too much": {func(s *certificatesv1.PodCertificateRequestStatus) {
			s.CertificateChain += strings.Repeat("x", 100<<10)
		}, "more than 102400"},
		"no X.509": {func(s *certificatesv1.PodCertificateRequestStatus) {
			s.CertificateChain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
		}, "the signer's certificate: x509"},
		"wrong key":    {nil, "the signer's certificate is for another key"},
		"(a good one)": {func(*certificatesv1.PodCertificateRequestStatus) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ca := newWorld(t), newAuthority(t)
				defer w.end()
				w.client.PrependReactor("update", "podcertificaterequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
					if tc.spoil != nil {
						tc.spoil(&a.(clienttesting.UpdateAction).GetObject().(*certificatesv1.PodCertificateRequest).Status)
					}
					return false, nil, nil
				})
				p := pod("a")
				w.m.Hold(p)
				var public any
				if tc.spoil == nil {
					public = ca.cert.PublicKey
				}
				ca.issue(t, w.client, &w.requests(1)[0], time.Hour, public)
				synctest.Wait()
				_, _, err := w.credential(p)
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			})
		})
	}
}

// TestAsksAgain: after a failure to ask, and when a request is deleted.
func TestAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ca := newWorld(t), newAuthority(t)
		defer w.end()
		var tries atomic.Int32
		w.client.PrependReactor("create", "podcertificaterequests", func(clienttesting.Action) (bool, runtime.Object, error) {
			if tries.Add(1) <= 20 {
				return true, nil, errors.New("the API is full")
			}
			return false, nil, nil
		})
		p := pod("a")
		w.m.Hold(p)
		w.fails(p, "credential bundle is not issued yet: create PodCertificateRequest: the API is full")
		if n := tries.Load(); n < 2 || n > 5 {
			t.Errorf("%d tries in %s", n, 3*time.Second)
		}
		time.Sleep(20 * time.Minute)
		api := w.client.CertificatesV1().PodCertificateRequests("ns")
		first := w.requests(1)[0]
		if err := api.Delete(t.Context(), first.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		second := w.requests(1)[0]
		if second.Name == first.Name {
			t.Error("the same again")
		}
		// Another one of its name is not its own.
		second.UID = "another"
		settle(t, w.client, &second, certificatesv1.PodCertificateRequestConditionTypeDenied, "Policy", "not you")
		for _, r := range w.requests(2) {
			if r.Name != second.Name {
				ca.issue(t, w.client, &r, time.Hour, nil)
			}
		}
		w.heard(1)
	})
}

// TestRequestThatNobodySaw: one that never appears counts as deleted in the end.
func TestRequestThatNobodySaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.client.PrependReactor("list", "podcertificaterequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if a.GetNamespace() == metav1.NamespaceAll {
				return true, nil, errors.New("no list")
			}
			return false, nil, nil
		})
		w.m.Hold(pod("a"))
		w.requests(1)
		time.Sleep(10 * time.Minute)
		w.requests(1)
		time.Sleep(2 * time.Minute) // with the jitter
		w.requests(2)
	})
}

// TestForgotten: a pod that is gone or has ended is forgotten with its key, and
// an agent that begins knows nothing of one before.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ca := newWorld(t), newAuthority(t)
		defer w.end()
		watches := func() (n int) {
			for _, a := range w.client.Actions() {
				if a.Matches("watch", "podcertificaterequests") {
					n++
				}
			}
			return n
		}
		if n := watches(); n != 0 {
			t.Errorf("%d watches before a pod needs one", n)
		}
		a, b := pod("a"), pod("b")
		w.m.Hold(a)
		w.requests(1)
		w.m.Hold(b)
		list := w.requests(2)
		ca.issue(t, w.client, &list[0], time.Hour, nil)
		ca.issue(t, w.client, &list[1], time.Hour, nil)
		w.heard(2)
		if n := watches(); n != 1 {
			t.Errorf("%d watches, want 1 for all pods", n)
		}
		key, _, err := w.credential(a)
		if err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.start()
		w.m.Hold(a)
		third := w.requests(3)[2]
		w.fails(a, "credential bundle is not issued yet: PodCertificateRequest ns/req-3 waits for the signer example.com/signer")
		ca.issue(t, w.client, &third, time.Hour, nil)
		w.heard(1)
		if other, _, err := w.credential(a); err != nil || other == key {
			t.Errorf("a new agent: %v", err)
		}
		w.m.Release("a")
		w.fails(a, "no credentials for source 1: nobody asks for them")
		b.Status.Phase = corev1.PodSucceeded
		w.m.Hold(b)
		time.Sleep(10 * time.Hour)
		w.requests(3)
		before := watches()
		w.m.Hold(pod("c"))
		w.requests(4)
		if n := watches(); n != before+1 {
			t.Errorf("%d watches, want %d: nothing was followed while no pod needed it", n, before+1)
		}
	})
}
