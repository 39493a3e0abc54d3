package kinds_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// ships makes a server run plugins as they ship, with these configurations.
func ships(configs map[string]string, names ...string) func(*kernel.Config) {
	return func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if !slices.Contains(names, p.Name) {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			if config, ok := configs[p.Name]; ok {
				b.Spec.Config = &runtime.RawExtension{Raw: []byte(config)}
			}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs, ResourceNames: r.Names})
			}
			c.Builtins = append(c.Builtins, b)
		}
	}
}

// legacy is a control plane with the controllers of tokens that Secrets hold.
type legacy struct{ *governed }

func (g legacy) account(t *testing.T, name string) *corev1.ServiceAccount {
	t.Helper()
	a, err := g.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (g legacy) holder(t *testing.T, name, account string) {
	t.Helper()
	s := &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}}}
	if _, err := g.CoreV1().Secrets("default").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// filled waits until a Secret holds another token than one of before, and all else.
func (g legacy) filled(t *testing.T, name, before string, account *corev1.ServiceAccount) (token string) {
	t.Helper()
	await(t, name+" is filled", func() string {
		s, err := g.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		token = string(s.Data["token"])
		if token == "" || token == before || string(s.Data["ca.crt"]) != "the CA" || string(s.Data["namespace"]) != "default" || s.Annotations[corev1.ServiceAccountUIDKey] != string(account.UID) {
			return fmt.Sprintf("annotations %v, data %q", s.Annotations, s.Data)
		}
		return ""
	})
	return token
}

func (g legacy) gone(t *testing.T, name string) {
	t.Helper()
	await(t, name+" is gone", func() string {
		_, err := g.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprint("it is there: ", err)
	})
}

// whoami is who a token makes its bearer.
func (g legacy) whoami(t *testing.T, token string) (string, error) {
	t.Helper()
	r, err := kerneltest.Client(t, g.Bearer(token)).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.UserInfo.Username, nil
}

// TestLegacyTokens: what upstream's tests of the tokens controller and of service
// accounts (test/integration/serviceaccount) look at, from outside.
func TestLegacyTokens(t *testing.T) {
	g := legacy{newGovernedBy(t, ships(map[string]string{"service-account-token": `{"ca":"the CA"}`}, "service-account-token", "legacy-token-cleaner"))}
	<-g.PluginsSynced()
	secrets, accounts := g.CoreV1().Secrets("default"), g.CoreV1().ServiceAccounts("default")
	robot := g.account(t, "robot")
	g.holder(t, "held", "robot")
	first := g.filled(t, "held", "", robot)
	if who, err := g.whoami(t, first); err != nil || who != "system:serviceaccount:default:robot" {
		t.Errorf("the token is %q, %v", who, err)
	}
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(first, &claims); err != nil || claims["iss"] != "kubernetes/serviceaccount" || claims["exp"] != nil {
		t.Errorf("claims %v, %v", claims, err)
	}
	await(t, "its use is noted", func() string {
		s, err := secrets.Get(t.Context(), "held", metav1.GetOptions{})
		if err != nil || s.Labels["kubernetes.io/legacy-token-last-used"] == "" || s.Labels["kubernetes.io/legacy-token-invalid-since"] != "" {
			return fmt.Sprint(s.Labels, err)
		}
		return ""
	})
	tracking, err := g.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "kube-apiserver-legacy-service-account-token-tracking", metav1.GetOptions{})
	if err != nil || tracking.Data["since"] == "" {
		t.Errorf("tracked since %v, %v", tracking.Data, err)
	}

	// What is removed is filled in again, and the token of before is none any more.
	for _, key := range []string{"token", "ca.crt", "namespace"} {
		before := ""
		if key == "token" {
			before = first
		}
		patch := fmt.Appendf(nil, `{"data":{%q:null}}`, key)
		if _, err := secrets.Patch(t.Context(), "held", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		g.filled(t, "held", before, robot)
	}
	if who, err := g.whoami(t, first); !apierrors.IsUnauthorized(err) {
		t.Errorf("the token of before is %q, %v", who, err)
	}

	// A Secret that goes takes the reference to it along, and its token with it.
	second := g.filled(t, "held", first, robot)
	if _, err := accounts.Patch(t.Context(), "robot", types.MergePatchType, []byte(`{"secrets":[{"name":"other"},{"name":"held"}]}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Delete(t.Context(), "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the reference goes", func() string {
		a, err := accounts.Get(t.Context(), "robot", metav1.GetOptions{})
		if err != nil || len(a.Secrets) != 1 || a.Secrets[0].Name != "other" {
			return fmt.Sprint(a.Secrets, err)
		}
		return ""
	})
	if who, err := g.whoami(t, second); !apierrors.IsUnauthorized(err) {
		t.Errorf("the token of a Secret that is gone is %q, %v", who, err)
	}

	// An account that goes takes its Secrets along; others are nobody's from the start.
	g.holder(t, "again", "robot")
	third := g.filled(t, "again", "", robot)
	if err := accounts.Delete(t.Context(), "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.gone(t, "again")
	if who, err := g.whoami(t, third); !apierrors.IsUnauthorized(err) {
		t.Errorf("the token of an account that is gone is %q, %v", who, err)
	}
	g.holder(t, "nobodys", "nobody")
	g.gone(t, "nobodys")
	g.account(t, "robot")
	b, err := json.Marshal(&corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{Name: "old", Annotations: map[string]string{
		corev1.ServiceAccountNameKey: "robot", corev1.ServiceAccountUIDKey: string(robot.UID)}}, Data: map[string][]byte{"token": []byte(third)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/default/secrets").SetHeader("Content-Type", "application/json").Body(b).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	g.gone(t, "old")
}
