package serviceaccounttoken

import (
	"bytes"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Of Secrets that hold tokens of service accounts.
const (
	secretType = "kubernetes.io/service-account-token"
	accountKey = "kubernetes.io/service-account.name"
	uidKey     = "kubernetes.io/service-account.uid"

	tokenKey     = "token"
	caKey        = "ca.crt"
	namespaceKey = "namespace"
)

// action is what is to be done with a Secret.
type action int

const (
	nothing action = iota
	remove         // its account is gone, or is another one of the name
	fill           // something is missing in it
)

// decide says what is to be done with a Secret; account is the one that it names, nil if
// there is none.
func decide(s *corev1.Secret, account *corev1.ServiceAccount, ca []byte) action {
	switch {
	case s.Type != secretType || s.Annotations[accountKey] == "" || s.DeletionTimestamp != nil:
		return nothing
	case account == nil || !belongs(s, account.UID):
		return remove
	case needsCA(s, ca) || needsNamespace(s) || needsToken(s):
		return fill
	}
	return nothing
}

// belongs tells that a Secret is one of the account with this uid; one that names no uid
// is of whoever has the name.
func belongs(s *corev1.Secret, uid string) bool {
	is := s.Annotations[uidKey]
	return is == "" || is == uid
}

func needsCA(s *corev1.Secret, ca []byte) bool { return !bytes.Equal(s.Data[caKey], ca) }
func needsNamespace(s *corev1.Secret) bool     { return len(s.Data[namespaceKey]) == 0 }
func needsToken(s *corev1.Secret) bool         { return len(s.Data[tokenKey]) == 0 }

// filling is what is written to a Secret: what it lacks, and whose it is. token is looked
// at if that is missing.
func filling(s *corev1.Secret, account *corev1.ServiceAccount, ca []byte, token string) map[string]any {
	data := map[string][]byte{}
	if needsCA(s, ca) {
		data[caKey] = ca
	}
	if needsNamespace(s) {
		data[namespaceKey] = []byte(s.Namespace)
	}
	if needsToken(s) {
		data[tokenKey] = []byte(token)
	}
	return map[string]any{
		"metadata": map[string]any{"uid": s.UID, "resourceVersion": s.ResourceVersion, "annotations": map[string]string{accountKey: account.Name, uidKey: account.UID}},
		"data":     data,
	}
}

// without are the references of an account to Secrets but that of the name; changed tells
// that there was one.
func without(refs []corev1.ObjectReference, name string) (left []corev1.ObjectReference, changed bool) {
	left = []corev1.ObjectReference{}
	for _, r := range refs {
		if r.Name != name {
			left = append(left, r)
		}
	}
	return left, len(left) < len(refs)
}
