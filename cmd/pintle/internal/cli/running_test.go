package cli

import (
	"slices"
	"testing"
)

// TestDiffering: what a running cluster was started with is compared with every flag of
// an `up` that finds it.
func TestDiffering(t *testing.T) {
	t.Chdir("/tmp")
	running := []string{"/usr/bin/pintle", "up", "--foreground", "--disable-plugin", "a", "--disable-plugin", "b", "--max-requests-inflight=7", "--audit-policy-file", "p.yaml", "--audit-policy-file=/tmp/p.yaml"}
	for _, tc := range []struct {
		args, want []string
	}{
		{nil, nil},
		{[]string{"--merge-kubeconfig", "--foreground", "--data-dir=/elsewhere"}, nil},
		{[]string{"--max-requests-inflight=7", "--disable-plugin=a", "--disable-plugin=b", "--audit-policy-file=p.yaml"}, nil},
		{[]string{"--max-requests-inflight=8"}, []string{"max-requests-inflight"}},
		{[]string{"--audit-policy-file=/other", "--disable-plugin=a"}, []string{"audit-policy-file", "disable-plugin"}},
		{[]string{"--max-mutating-requests-inflight=200"}, nil}, // the default
		{[]string{"--encryption-provider-config=/e"}, []string{"encryption-provider-config"}},
		{[]string{"--oidc-client-id=c", "--node-name=n"}, []string{"node-name", "oidc-client-id"}},
	} {
		given := upCommand().Flags()
		if err := given.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		if got := differing(given, running); !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, want %q", tc.args, got, tc.want)
		}
	}
	given := upCommand().Flags()
	if err := given.Parse([]string{"--cluster-cidr=10.9.0.0/16"}); err != nil {
		t.Fatal(err)
	}
	for _, server := range [][]string{{"pintle", "server", "--ha-only=1"}, {"pintle", "up", "--max-requests-inflight=many"}} {
		if got := differing(given, server); !slices.Equal(got, []string{"cluster-cidr"}) {
			t.Errorf("beside %q: %q", server, got)
		}
	}
}
