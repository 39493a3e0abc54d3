package probe

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

func FuzzParseListening(f *testing.F) {
	f.Add("  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n")
	f.Add("0: 00000000000000000000000001000000:0050 0:0 0A\n1: 0:ZZ 0:0 0A\n2: 0 0 0A\n")
	f.Fuzz(func(t *testing.T, table string) {
		out := map[uint16]bool{}
		if err := parseListening(strings.NewReader(table), out); err != nil && !errors.Is(err, bufio.ErrTooLong) {
			t.Fatal(err)
		}
		if strings.Count(table, tcpListen) < len(out) {
			t.Errorf("%d ports listened on in %q", len(out), table)
		}
	})
}

func TestParseListening(t *testing.T) {
	out := map[uint16]bool{}
	err := parseListening(strings.NewReader(`  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:0050 0100007F:9C40 01 00000000:00000000
   2: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0
`), out)
	if err != nil || len(out) != 2 || !out[8080] || !out[443] {
		t.Errorf("got %v, %v", out, err)
	}
}
