package encrypted_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/encrypted/kmstest"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// What encryption costs beside a store in memory: a write, and an object of a list, of
// 1 KiB.
func BenchmarkStore(b *testing.B) {
	plugin := kmstest.Start(b, "k1")
	v := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for _, p := range []struct{ name, provider string }{
		{"none", ""}, {"identity", "identity: {}"}, {"aescbc", local("aescbc", "a")}, {"aesgcm", local("aesgcm", "a")},
		{"secretbox", local("secretbox", "a")}, {"kms", kms("bench", plugin.Endpoint)},
	} {
		s := memory.New()
		if p.provider != "" {
			s = open(b, s, p.provider)
		}
		b.Run("write/"+p.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Commit(b.Context(), []store.Op{{Key: "/s/one", Value: v, Expect: store.Any}}); err != nil {
					b.Fatal(err)
				}
			}
		})
		const n = 500
		for i := range n {
			if _, err := s.Commit(b.Context(), []store.Op{{Key: fmt.Sprintf("/l/%03d", i), Value: v, Expect: store.Any}}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("list/"+p.name, func(b *testing.B) {
			for b.Loop() {
				if kvs, _, _, err := s.List(b.Context(), "/l/", store.ListOptions{}); err != nil || len(kvs) != n {
					b.Fatal(len(kvs), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/object")
		})
	}
}
