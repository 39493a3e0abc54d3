package volume_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/podspec"
)

func (w *world) Bundle(name string) (*certificatesv1.ClusterTrustBundle, error) {
	for _, b := range w.bundles {
		if b.Name == name {
			return b, w.fail
		}
	}
	return nil, w.fail
}

func (w *world) BundlesOf(signer string) ([]*certificatesv1.ClusterTrustBundle, error) {
	var out []*certificatesv1.ClusterTrustBundle
	for _, b := range w.bundles {
		if b.Spec.SignerName == signer {
			out = append(out, b)
		}
	}
	return out, w.fail
}

// root makes the certificate of an authority, as PEM.
func root(t *testing.T, name string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func bundle(name, signer string, labels map[string]string, pems ...string) *certificatesv1.ClusterTrustBundle {
	return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: strings.Join(pems, "")}}
}

func trust(s ...corev1.ClusterTrustBundleProjection) corev1.VolumeSource {
	p := &corev1.ProjectedVolumeSource{}
	for i := range s {
		p.Sources = append(p.Sources, corev1.VolumeProjection{ClusterTrustBundle: &s[i]})
	}
	return corev1.VolumeSource{Projected: p}
}

// certificates are the names in a file, sorted; what stands between PEM blocks
// is an error.
func certificates(t *testing.T, text string) (names []string) {
	t.Helper()
	again := ""
	for b, rest := pem.Decode([]byte(text)); b != nil; b, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names, again = append(names, c.Subject.CommonName), again+string(pem.EncodeToMemory(b))
	}
	if again != text {
		t.Errorf("not normalised:\n%s", text)
	}
	slices.Sort(names)
	return names
}

// TestTrustBundles goes through what upstream's conformance tests project
// (test/e2e/auth/projected_clustertrustbundle.go), and what they leave out.
func TestTrustBundles(t *testing.T) {
	w := newWorld(t)
	a, b, c, d := root(t, "a"), root(t, "b"), root(t, "c"), root(t, "d")
	alive, dead := map[string]string{"signer.alive": "true"}, map[string]string{"signer.alive": "false"}
	w.bundles = []*certificatesv1.ClusterTrustBundle{
		bundle("one.1", "test.test/one", alive, "# of a\n", a), bundle("one.2", "test.test/one", alive, b, a), bundle("one.3", "test.test/one", dead, c),
		bundle("two.1", "test.test/two", alive, d), bundle("plain", "", nil, d, "between\n", c),
	}
	one, none := ptr.To("test.test/one"), ptr.To("test.test/none")
	type source = corev1.ClusterTrustBundleProjection
	for _, tt := range []struct {
		name  string
		s     source
		want  string
		fails string
		waits bool // until it is there
	}{
		{name: "by name", s: source{Name: ptr.To("plain")}, want: "[c d]"},
		{name: "no such name, optional", s: source{Name: ptr.To("x"), Optional: ptr.To(true)}, want: "[]"},
		{name: "no such name", s: source{Name: ptr.To("x"), Optional: ptr.To(false)}, waits: true,
			fails: `while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "x" not found`},
		{name: "by signer and labels, joined, each once", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchLabels: alive}}, want: "[a b]"},
		{name: "no selector is nothing", s: source{SignerName: one}, waits: true, fails: "combination of signerName and labelSelector matched zero ClusterTrustBundles"},
		{name: "no selector is nothing, optional", s: source{SignerName: one, Optional: ptr.To(true)}, want: "[]"},
		{name: "an empty selector is all", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{}}, want: "[a b c]"},
		{name: "labels of none, optional", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}, Optional: ptr.To(true)}, want: "[]"},
		{name: "labels of none", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}}, waits: true, fails: "matched zero"},
		{name: "no such signer", s: source{SignerName: none, LabelSelector: &metav1.LabelSelector{}}, waits: true, fails: "matched zero"},
		{name: "an expression", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "signer.alive", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}}}}}, want: "[c]"},
		{name: "a broken selector", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}}, fails: "while parsing label selector: "},
		{name: "a huge selector", s: source{SignerName: one, LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: metav1.LabelSelectorOpIn, Values: manyValues()}}}}, fails: "is larger than 102400"},
		{name: "neither name nor signer", s: source{}, fails: "ClusterTrustBundle projection requires either name or signerName to be set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if err := w.m.TearDown(t.Context(), "u"); err != nil {
					t.Error(err)
				}
			}()
			tt.s.Path = "trust.pem"
			_, err := w.m.Prepare(t.Context(), pod(vol("v", trust(tt.s))))
			if tt.fails != "" {
				var missing *podspec.MissingError
				if err == nil || !strings.Contains(err.Error(), tt.fails) || errors.As(err, &missing) != tt.waits {
					t.Errorf("got %v, want %s (one that waits: %v)", err, tt.fails, tt.waits)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(certificates(t, w.read("v", "trust.pem"))); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if fi, err := os.Stat(filepath.Join(w.root, "u/volumes/v/trust.pem")); err != nil || fi.Mode().Perm() != 0o644 {
				t.Errorf("mode: got %v %v", fi, err)
			}
		})
	}
}

func manyValues() []string {
	out := make([]string, 2000)
	for i := range out {
		out[i] = fmt.Sprintf("%060d", i)
	}
	return out
}

// TestTrustBundleUpdate: the file changes with the bundle, and only then.
func TestTrustBundleUpdate(t *testing.T) {
	w := newWorld(t)
	var pems []string
	for i := range 8 {
		pems = append(pems, root(t, fmt.Sprint(i)))
	}
	w.bundles = []*certificatesv1.ClusterTrustBundle{bundle("b", "", nil, pems[:7]...)}
	p := pod(vol("v", trust(corev1.ClusterTrustBundleProjection{Name: ptr.To("b"), Path: "x/trust.pem"})))
	w.prepare(p)
	link := filepath.Join(w.root, "u/volumes/v/..data")
	before, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(pems[:7])
	w.bundles[0] = bundle("b", "", nil, pems[:7]...)
	w.prepare(p)
	if after, _ := os.Readlink(link); after != before {
		t.Error("the same certificates were written again")
	}
	w.bundles[0] = bundle("b", "", nil, pems[6:]...)
	w.prepare(p)
	if got := fmt.Sprint(certificates(t, w.read("v", "x/trust.pem"))); got != "[0 7]" {
		t.Errorf("after the update: got %s", got)
	}
	w.fail = errors.New("ClusterTrustBundle informer has not yet synced")
	if _, err := w.m.Prepare(t.Context(), p); !errors.Is(err, w.fail) {
		t.Errorf("got %v, want %v", err, w.fail)
	}
	if got := fmt.Sprint(certificates(t, w.read("v", "x/trust.pem"))); got != "[0 7]" {
		t.Errorf("what was there is gone: got %s", got)
	}
}

// TestManyTrustBundles: upstream's 150, as sources of one volume and as volumes
// of their own.
func TestManyTrustBundles(t *testing.T) {
	w := newWorld(t)
	var sources []corev1.ClusterTrustBundleProjection
	var volumes []corev1.Volume
	for i := range 150 {
		name := fmt.Sprintf("test.test:hundreds:%d", i)
		w.bundles = append(w.bundles, bundle(name, "test.test/hundreds", nil, root(t, fmt.Sprint(i))))
		sources = append(sources, corev1.ClusterTrustBundleProjection{Name: &name, Path: fmt.Sprintf("trust-%d.pem", i)})
		volumes = append(volumes, vol(fmt.Sprintf("v%d", i), trust(sources[i])))
	}
	w.prepare(pod(append(volumes, vol("all", trust(sources...)))...))
	for i := range 150 {
		file := fmt.Sprintf("trust-%d.pem", i)
		for _, v := range []string{"all", fmt.Sprintf("v%d", i)} {
			if got := fmt.Sprint(certificates(t, w.read(v, file))); got != fmt.Sprintf("[%d]", i) {
				t.Errorf("%s/%s: got %s", v, file, got)
			}
		}
	}
}

// TestProjectedTooLarge: a volume that is too large says so; one that just fits
// can be changed.
func TestProjectedTooLarge(t *testing.T) {
	w := newWorld(t)
	fill := func(letter string, mebibytes int) *corev1.Pod {
		p := &corev1.ProjectedVolumeSource{}
		for i := range mebibytes {
			name := fmt.Sprint("cm", i)
			w.config[name] = map[string]string{name: strings.Repeat(letter, 1<<20)}
			p.Sources = append(p.Sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}}})
		}
		return pod(vol("v", corev1.VolumeSource{Projected: p}))
	}
	w.prepare(fill("a", 16))
	w.prepare(fill("b", 16))
	if got := w.read("v", "cm15"); len(got) != 1<<20 || got[0] != 'b' {
		t.Errorf("after the update: %d bytes", len(got))
	}
	if _, err := w.m.Prepare(t.Context(), fill("c", 17)); err == nil || !strings.Contains(err.Error(), "more than 16 MiB together") {
		t.Errorf("too large: got %v", err)
	}
}
