package v1_test

import (
	"testing"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

func TestParseToLabelSelector(t *testing.T) {
	labels := map[string]string{"app": "web", "example.com/tier": "front", "empty": ""}
	for text, want := range map[string]bool{
		"": true, "app": true, "!app": false, "none": false, "!none": true, "app=web": true, "app==web": true, "app = web": true, "app!=web": false, "none!=x": true,
		"app in (web, api)": true, "app in (api)": false, "app notin (api)": true, "app notin(web)": false, "none notin (a)": true,
		"app=web,example.com/tier=front": true, "app in (web,api),example.com/tier!=front": false, " app , !none ": true, "empty=": true, "empty in ()": true,
	} {
		s, err := metav1.ParseToLabelSelector(text)
		if err != nil || s.Matches(labels) != want {
			t.Errorf("%q matches: %v, %v, want %v", text, s.Matches(labels), err, want)
		}
		if err != nil {
			continue
		}
		if again, err := metav1.ParseToLabelSelector(s.String()); err != nil || again.Matches(labels) != want {
			t.Errorf("%q, written as %q: %v", text, s, err)
		}
	}
	for _, text := range []string{",", "a,", "a,,b", "a in", "a in b", "in (a)", "a is (b)", "a in (b", "a in (b) c", "a b", "=x", "a=b=c", "!", "a>1"} {
		if s, err := metav1.ParseToLabelSelector(text); err == nil {
			t.Errorf("%q was taken as %q", text, s)
		}
	}
}
