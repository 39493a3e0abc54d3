package serviceaccount

import (
	"iter"
	"strconv"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
)

// enforce, on an account, lets its pods use no secrets but those that the
// account names.
const enforce = "kubernetes.io/enforce-mountable-secrets"

// mirrorPod refuses a static pod's image that refers to anything which a node
// could not have read for it.
func mirrorPod(r *admission.Review) error {
	pod := r.Object
	if pod.Get("spec.serviceAccountName").String() != "" {
		return r.Forbid("a mirror pod may not reference service accounts")
	}
	if namesSecret(pod) {
		return r.Forbid("a mirror pod may not reference secrets")
	}
	for _, v := range pod.Get("spec.volumes").Items() {
		for _, source := range v.Get("projected.sources").Items() {
			if source.Key("serviceAccountToken").Exists() {
				return r.Forbid("a mirror pod may not use ServiceAccountToken volume projections")
			}
		}
	}
	return nil
}

// secretFields are where a volume names a secret, by its kind.
var secretFields = []string{"secret.secretName", "azureFile.secretName", "cephfs.secretRef", "cinder.secretRef", "flexVolume.secretRef",
	"rbd.secretRef", "scaleIO.secretRef", "iscsi.secretRef", "storageos.secretRef", "csi.nodePublishSecretRef"}

// namesSecret tells whether the pod names a secret anywhere.
func namesSecret(pod sdk.Value) bool {
	if pod.Get("spec.imagePullSecrets").Len() > 0 {
		return true
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range pod.Get("spec." + list).Items() {
			for range secretsOf(c) {
				return true
			}
		}
	}
	for _, v := range pod.Get("spec.volumes").Items() {
		for _, field := range secretFields {
			if v.Get(field).Exists() {
				return true
			}
		}
		for _, source := range v.Get("projected.sources").Items() {
			if source.Key("secret").Exists() {
				return true
			}
		}
	}
	return false
}

// secretsOf are the secrets of a container's environment, each with the name of
// its variable, which is "" for all of a secret.
func secretsOf(container sdk.Value) iter.Seq2[string, string] {
	return func(yield func(variable, secret string) bool) {
		for _, e := range container.Key("env").Items() {
			if ref := e.Get("valueFrom.secretKeyRef"); ref.Exists() && !yield(e.Key("name").String(), ref.Key("name").String()) {
				return
			}
		}
		for _, e := range container.Key("envFrom").Items() {
			if ref := e.Key("secretRef"); ref.Exists() && !yield("", ref.Key("name").String()) {
				return
			}
		}
	}
}

// enforces tells whether the account limits the secrets of its pods.
func (sa *account) enforces() bool {
	on, err := strconv.ParseBool(sa.Metadata.Annotations[enforce])
	return err == nil && on
}

func (sa *account) names(list []reference, secret string) bool {
	for _, ref := range list {
		if ref.Name == secret {
			return true
		}
	}
	return false
}

// limit refuses secrets that an enforcing account does not name.
func limit(r *admission.Review, name string, sa *account) error {
	if !sa.enforces() {
		return nil
	}
	for _, v := range r.Object.Get("spec.volumes").Items() {
		if ref := v.Key("secret"); ref.Exists() && !sa.names(sa.Secrets, ref.Key("secretName").String()) {
			return r.Forbid("volume with secret.secretName=%q is not allowed because service account %s does not reference that secret", ref.Key("secretName").String(), name)
		}
	}
	for _, kind := range []struct{ list, text string }{{"initContainers", "init container"}, {"containers", "container"}} {
		if limitContainers(r, name, sa, kind.list, kind.text) {
			return nil
		}
	}
	for i, ref := range r.Object.Get("spec.imagePullSecrets").Items() {
		if secret := ref.Key("name").String(); !sa.names(sa.PullSecrets, secret) {
			return r.Forbid("imagePullSecrets[%d].name=%q is not allowed because service account %s does not reference that imagePullSecret", i, secret, name)
		}
	}
	return nil
}

// limitContainers reports whether it refused.
func limitContainers(r *admission.Review, name string, sa *account, list, text string) bool {
	for _, c := range r.Object.Get("spec." + list).Items() {
		for variable, secret := range secretsOf(c) {
			if sa.names(sa.Secrets, secret) {
				continue
			}
			with := "envVar " + variable
			if variable == "" {
				with = "envFrom"
			}
			_ = r.Forbid("%s %s with %s referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				text, c.Key("name").String(), with, secret, name) // always nil
			return true
		}
	}
	return false
}

// limitEphemeral does for ephemeral containers, which come later than their
// pod, what limit does. The account is that of the pod as it is stored: what else a
// client sends beside the containers is not written, and must not decide.
func limitEphemeral(r *admission.Review) error {
	name := r.Old.Get("spec.serviceAccountName").String()
	if name == "" {
		return r.Forbid("no service account specified for pod %s/%s", r.Namespace, r.Name)
	}
	sa, ok, err := lookup(r, name)
	if err != nil || !ok || !sa.enforces() {
		return err
	}
	limitContainers(r, name, sa, "ephemeralContainers", "ephemeral container")
	return nil
}
