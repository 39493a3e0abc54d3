package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/node"
)

// objects is a cluster of a few objects, by resource and name.
type objects map[string]runtime.Object

func (o objects) Get(_ context.Context, gr schema.GroupResource, _, name string) (runtime.Object, error) {
	if x := o[gr.Resource+"/"+name]; x != nil {
		return x, nil
	}
	return nil, apierrors.NewNotFound(gr, name)
}

func (objects) List(context.Context, schema.GroupResource, string) ([]runtime.Object, error) {
	return nil, nil
}

func csr(t *testing.T, signer, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer,
		Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}}
}

// TestWhatANodeMayNotWrite: what upstream's NodeRestriction refuses of
// certificates, claims and devices.
func TestWhatANodeMayNotWrite(t *testing.T) {
	pod := func(name, node string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "p"}, Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: "sa",
			Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{PodCertificate: &corev1.PodCertificateProjection{SignerName: "example.com/own"}}}}}}}}}
		if change != nil {
			change(p)
		}
		return p
	}
	reader := objects{
		"nodes/n1":           &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u"}},
		"serviceaccounts/sa": &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa", UID: "a"}},
		"pods/mine":          pod("mine", "n1", nil),
		"pods/theirs":        pod("theirs", "n2", nil),
		"pods/mirror":        pod("mirror", "n1", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: ""} }),
	}
	podRequest := func(change func(*certificatesv1beta1.PodCertificateRequestSpec)) runtime.Object {
		r := &certificatesv1beta1.PodCertificateRequest{Spec: certificatesv1beta1.PodCertificateRequestSpec{SignerName: "example.com/own",
			NodeName: "n1", NodeUID: "u", PodName: "mine", PodUID: "p", ServiceAccountName: "sa", ServiceAccountUID: "a"}}
		if change != nil {
			change(&r.Spec)
		}
		return r
	}
	claim := func(change func(*corev1.PersistentVolumeClaim)) runtime.Object {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", ResourceVersion: "1"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}
		change(c)
		return c
	}
	unchanged := claim(func(*corev1.PersistentVolumeClaim) {})
	now := metav1.Now()
	volume := func(change func(*corev1.PersistentVolume)) runtime.Object {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", DeletionTimestamp: &now, Labels: map[string]string{node.LocalVolumeLabel: "n1"},
			Finalizers: []string{"kubernetes.io/pv-protection", node.LocalVolumeFinalizer}}}
		change(v)
		return v
	}
	same := func(*corev1.PersistentVolume) {}
	letGo := func(v *corev1.PersistentVolume) { v.Finalizers = v.Finalizers[:1] }
	slice := func(node string) runtime.Object {
		return &resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{NodeName: &node}}
	}
	const c, d, u = admission.Create, admission.Delete, admission.Update
	type spec = certificatesv1beta1.PodCertificateRequestSpec
	for name, tt := range map[string]struct {
		op       admission.Operation
		resource string // group/resource[/subresource]
		obj, old runtime.Object
		want     string // "" passes
	}{
		"own client certificate":      {c, "certificates.k8s.io/certificatesigningrequests", csr(t, certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:n1"), nil, ""},
		"own serving certificate":     {c, "certificates.k8s.io/certificatesigningrequests", csr(t, certificatesv1.KubeletServingSignerName, "system:node:n1"), nil, ""},
		"another's client":            {c, "certificates.k8s.io/certificatesigningrequests", csr(t, certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:n2"), nil, "CN=system:node:n1"},
		"another's serving":           {c, "certificates.k8s.io/certificatesigningrequests", csr(t, certificatesv1.KubeletServingSignerName, "kube-apiserver"), nil, "CN=system:node:n1"},
		"nonsense":                    {c, "certificates.k8s.io/certificatesigningrequests", &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: certificatesv1.KubeletServingSignerName}}, nil, "unable to parse csr"},
		"own pod's certificate":       {c, "certificates.k8s.io/podcertificaterequests", podRequest(nil), nil, ""},
		"certificate, other node":     {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.NodeName = "n2" }), nil, "not the requesting node"},
		"certificate, other pod":      {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.PodName = "theirs" }), nil, "is not running on node"},
		"certificate, mirror pod":     {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.PodName = "mirror" }), nil, "is a mirror pod"},
		"certificate, former pod":     {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.PodUID = "old" }), nil, "is not the one in record"},
		"certificate, no pod":         {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.PodName = "none" }), nil, "not found"},
		"certificate, other account":  {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.ServiceAccountName = "admin" }), nil, "serviceAccountName"},
		"certificate, other signer":   {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.SignerName = "example.com/other" }), nil, "does not mount"},
		"certificate, signer allowed": {c, "certificates.k8s.io/podcertificaterequests", podRequest(func(s *spec) { s.SignerName = "example.com/allowed" }), nil, ""},
		"certificate, deleted":        {d, "certificates.k8s.io/podcertificaterequests", nil, podRequest(nil), "unexpected operation"},
		"claim":                       {u, "/persistentvolumeclaims", unchanged, unchanged, "may only update PVC status"},
		"claim's size": {u, "/persistentvolumeclaims/status", claim(func(p *corev1.PersistentVolumeClaim) {
			p.Status.Capacity = corev1.ResourceList{"storage": resource.MustParse("1Gi")}
		}), unchanged, ""},
		"claim's phase":               {u, "/persistentvolumeclaims/status", claim(func(p *corev1.PersistentVolumeClaim) { p.Status.Phase = corev1.ClaimLost }), unchanged, "not allowed to update fields"},
		"claim's finalizers":          {u, "/persistentvolumeclaims/status", claim(func(p *corev1.PersistentVolumeClaim) { p.Finalizers = []string{"x/y"} }), unchanged, "not allowed to update fields"},
		"local volume, let go":        {u, "/persistentvolumes", volume(letGo), volume(same), ""},
		"local volume, all let go":    {u, "/persistentvolumes", volume(func(v *corev1.PersistentVolume) { v.Finalizers = nil }), volume(same), "only allowed to remove finalizer"},
		"local volume, kept":          {u, "/persistentvolumes", volume(func(v *corev1.PersistentVolume) { v.Spec.PersistentVolumeReclaimPolicy = "Retain" }), volume(same), "only allowed to remove finalizer"},
		"local volume, not deleted":   {u, "/persistentvolumes", volume(func(v *corev1.PersistentVolume) { letGo(v); v.DeletionTimestamp = nil }), volume(func(v *corev1.PersistentVolume) { v.DeletionTimestamp = nil }), "only allowed to remove finalizer"},
		"another's local volume":      {u, "/persistentvolumes", volume(func(v *corev1.PersistentVolume) { letGo(v); v.Labels = nil }), volume(func(v *corev1.PersistentVolume) { v.Labels = nil }), "only allowed to remove finalizer"},
		"local volume's status":       {u, "/persistentvolumes/status", volume(letGo), volume(same), "unexpected operation"},
		"local volume, made":          {c, "/persistentvolumes", volume(same), nil, "unexpected operation"},
		"own devices":                 {c, "resource.k8s.io/resourceslices", slice("n1"), nil, ""},
		"another's devices":           {c, "resource.k8s.io/resourceslices", slice("n2"), nil, "can only create ResourceSlice"},
		"another's devices, deleted":  {d, "resource.k8s.io/resourceslices", nil, slice("n2"), "can only delete ResourceSlice"},
		"everybody's devices":         {c, "resource.k8s.io/resourceslices", &resourcev1.ResourceSlice{}, nil, "can only create ResourceSlice"},
		"devices handed over to it":   {u, "resource.k8s.io/resourceslices", slice("n2"), slice("n1"), "ResourceSlice"},
		"something else, not its own": {c, "/configmaps", &corev1.ConfigMap{}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			parts := strings.Split(tt.resource, "/")
			a := &admission.Attributes{Operation: tt.op, Resource: schema.GroupVersionResource{Group: parts[0], Version: "v1", Resource: parts[1]},
				Namespace: "default", Name: "x", Object: tt.obj, Old: tt.old, User: &user.DefaultInfo{Name: "system:node:n1", Groups: []string{"system:nodes"}}}
			if len(parts) == 3 {
				a.Subresource = parts[2]
			}
			err := (&node.Restriction{Reader: reader, Authorizer: granted{}}).Validate(t.Context(), a)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
