package egress

import (
	"fmt"
	"net/netip"
	"testing"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestRanges: whose an address is, as nodes come, change and go.
func TestRanges(t *testing.T) {
	var r Ranges
	is := func(ip, want string) {
		t.Helper()
		if got, ok := r.Node(netip.MustParseAddr(ip)); got != want || ok != (want != "") {
			t.Errorf("%s is of %q, want %q", ip, got, want)
		}
	}
	is("10.244.1.7", "")
	r.Set("one", prefixes("10.244.1.0/24", "fd00:1::/64"))
	r.Set("two", append(prefixes("10.244.2.9/24", "10.244.2.0/24"), netip.Prefix{})) // as written, not as masked; and none
	r.Set("wide", prefixes("10.244.0.0/16"))
	is("10.244.1.7", "one")
	is("::ffff:10.244.1.7", "one")
	is("fd00:1::7", "one")
	is("fd00:1::7%eth0", "one")
	is("fd00:2::7", "")
	is("10.244.2.255", "two")
	is("10.244.3.1", "wide")
	is("10.245.0.1", "")
	r.Set("other", prefixes("10.244.1.0/24")) // a node that replaces another
	is("10.244.1.7", "one")
	r.Set("one", nil)
	is("10.244.1.7", "other")
	is("fd00:1::7", "")
	r.Set("other", prefixes("10.244.5.0/25"))
	is("10.244.1.7", "wide")
	is("10.244.5.7", "other")
	r.Set("none", nil)
	r.Replace(map[string][]netip.Prefix{"two": prefixes("10.244.7.0/24")})
	is("10.244.5.7", "")
	is("10.244.2.1", "")
	is("10.244.7.1", "two")
	r.Set("two", nil)
	if len(r.byNode)+len(r.nodes)+len(r.lengths) != 0 {
		t.Errorf("what is gone is kept: %+v", &r)
	}
}

// BenchmarkNode finds the node of a pod among five thousand.
func BenchmarkNode(b *testing.B) {
	var r Ranges
	for i := range 5000 {
		r.Set(fmt.Sprintf("node-%04d", i), prefixes(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)))
	}
	ip := netip.MustParseAddr("10.19.100.7")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Node(ip); !ok {
			b.Fatal("nobody's")
		}
	}
}
