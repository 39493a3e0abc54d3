package legacytokencleaner

import (
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Of Secrets that hold tokens of service accounts.
const (
	secretType   = "kubernetes.io/service-account-token"
	accountKey   = "kubernetes.io/service-account.name"
	uidKey       = "kubernetes.io/service-account.uid"
	lastUsed     = "kubernetes.io/legacy-token-last-used"
	invalidSince = "kubernetes.io/legacy-token-invalid-since"
)

const (
	day = 24 * time.Hour
	// unused is how long a token must not have been used; upstream's default.
	unused = 365 * day
)

// trackedSince is the time from which on every use has been noted: the beginning of the
// day after the one that the ConfigMap names.
func trackedSince(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	return t.AddDate(0, 0, 1), err
}

// old tells that a token may be one that nobody needs: it was made, and used last, more
// than a year ago, and that would have been noted. later is when to look again if not; 0:
// when the Secret changes.
func old(s *corev1.Secret, since, now time.Time) (yes bool, later time.Duration) {
	if s.Type != secretType || s.Annotations[accountKey] == "" || s.DeletionTimestamp != nil {
		return false, 0
	}
	if at := since.Add(unused); now.Before(at) {
		return false, at.Sub(now)
	}
	before := now.Add(-unused)
	if made := s.CreationTimestamp.Time(); !made.Before(before) {
		return false, made.Sub(before) + time.Second
	}
	if text, ok := s.Labels[lastUsed]; ok {
		used, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return false, 0 // nobody can tell
		}
		if text >= before.Format(time.DateOnly) {
			return false, used.AddDate(0, 0, 1).Sub(before) + time.Second
		}
	}
	return true, 0
}

// generated tells that an account refers to a Secret: it was made for the account, in
// the days when every account had one. account is that of the name, nil if there is none.
func generated(s *corev1.Secret, account *corev1.ServiceAccount) bool {
	if account == nil || s.Annotations[uidKey] != "" && s.Annotations[uidKey] != account.UID {
		return false
	}
	for _, r := range account.Secrets {
		if r.Name == s.Name {
			return true
		}
	}
	return false
}

// action is what is to be done with an old token that was generated and that no pod
// mounts.
type action int

const (
	wait action = iota
	invalidate
	remove
)

// next: the token is marked as invalid first, and deleted when it has been so for a year.
func next(s *corev1.Secret, now time.Time) action {
	switch text := s.Labels[invalidSince]; {
	case !isDay(text):
		return invalidate
	case text >= now.Add(-unused).Format(time.DateOnly):
		return wait
	}
	return remove
}

func isDay(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}
