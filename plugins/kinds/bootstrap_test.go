package kinds_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestClusterInfo: who has a bootstrap token can tell by its signature that the
// kubeconfig of ConfigMap cluster-info is the cluster's, and no longer when the token is
// gone.
func TestClusterInfo(t *testing.T) {
	s := newControlled(t, "bootstrap-signer", "node-ttl")
	const id, secret, config = "abcdef", "0123456789abcdef", "apiVersion: v1\nkind: Config\n"
	maps, secrets := s.CoreV1().ConfigMaps("kube-public"), s.CoreV1().Secrets("kube-system")
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, Data: map[string]string{"kubeconfig": config}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{"token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true"}}
	if _, err := secrets.Create(t.Context(), token, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	signature := func() string {
		m, err := maps.Get(t.Context(), "cluster-info", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Data["jws-kubeconfig-"+id]
	}
	await(t, "signed", func() string {
		header, sum, ok := strings.Cut(signature(), "..")
		if !ok {
			return "no signature"
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(header + "." + base64.RawURLEncoding.EncodeToString([]byte(config))))
		if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); sum != want {
			return fmt.Sprintf("signature %s, want %s", sum, want)
		}
		return ""
	})
	if err := secrets.Delete(t.Context(), token.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "not signed any more", signature)

	if _, err := s.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "how long the node may keep objects", func() string {
		n, err := s.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := n.Annotations["node.alpha.kubernetes.io/ttl"]; v != "0" {
			return fmt.Sprintf("annotation %q, %v", v, ok)
		}
		return ""
	})
}
