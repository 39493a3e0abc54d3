package response

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
)

// writes counts the writes that reach it.
type writes struct {
	bytes.Buffer
	n int
}

func (w *writes) Write(p []byte) (int, error) {
	w.n++
	return w.Buffer.Write(p)
}

func TestWritePieces(t *testing.T) {
	piece := func(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }
	for _, tc := range []struct {
		name   string
		pieces [][]byte
		writes int
	}{
		{"one", [][]byte{piece(10, 'a')}, 1},
		{"one, larger than a chunk", [][]byte{piece(3*chunkSize, 'a')}, 1},
		{"many small", [][]byte{piece(1000, 'a'), piece(2000, 'b'), piece(1, 'c')}, 1},
		{"to the brim", [][]byte{piece(chunkSize-1, 'a'), piece(1, 'b')}, 1},
		{"over the brim", [][]byte{piece(chunkSize-1, 'a'), piece(3, 'b')}, 2},
		{"one of many larger than a chunk", [][]byte{piece(5, 'a'), piece(2*chunkSize, 'b'), piece(5, 'c')}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &writes{}
			if err := writePieces(w, tc.pieces); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(w.Bytes(), bytes.Join(tc.pieces, nil)) || w.n != tc.writes {
				t.Errorf("%d bytes in %d writes, want %d in %d, and equal", w.Len(), w.n, len(bytes.Join(tc.pieces, nil)), tc.writes)
			}
		})
	}
	if err := writePieces(closed{}, [][]byte{{1}, {2}}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

// What is larger than 128 KiB is compressed, for who takes that; nothing else is.
func TestGzip(t *testing.T) {
	for _, tc := range []struct {
		size   int
		accept string
		want   string
	}{
		{128 << 10, "gzip", ""}, {128<<10 + 1, "gzip", "gzip"}, {128<<10 + 1, "", ""}, {128<<10 + 1, "deflate, gzip", "gzip"}, {128<<10 + 1, "gzip;q=0", ""},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", tc.accept)
		WriteBytes(w, r, http.StatusOK, negotiation.JSON, bytes.Repeat([]byte{'a'}, tc.size))
		if got := w.Header().Get("Content-Encoding"); got != tc.want {
			t.Errorf("%d bytes for %q: encoding %q, want %q", tc.size, tc.accept, got, tc.want)
		}
		if small := w.Body.Len() < tc.size; small != (tc.want != "") {
			t.Errorf("%d bytes for %q: %d were sent", tc.size, tc.accept, w.Body.Len())
		}
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
