package wasm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// The answers of WASI that are given here.
const (
	wasiSuccess = 0
	wasiBadf    = 8
	wasiInval   = 28
	wasiNotsup  = 58
)

// Bounds of one WASI call. Writes may be short: who has more to say calls
// again.
const (
	randomPiece  = 64 << 10
	maxWrite     = 64 << 10 // bytes
	maxVectors   = 64       // pieces that a write is made of
	maxPolled    = 64       // events
	subscription = 48       // bytes of one, as the guest lays it out
	pollEvent    = 32
)

// wasi gives a runtime the functions of WASI that guests may import. The
// engine's do what the guest says, however much that is: it copies paths and
// fills buffers of any size. So what takes a size is served here, in pieces or
// bounded; a guest has no files, and what is about files says so without
// looking.
func wasi(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	for _, f := range []struct {
		name   string
		params string // i for 32 bits, l for 64
		call   api.GoModuleFunc
	}{
		{"random_get", "ii", randomGet},
		{"fd_write", "iiii", fdWrite},
		{"fd_read", "iiii", fdRead},
		{"poll_oneoff", "iiii", pollOneoff},
		{"fd_pread", "iiili", noFile},
		{"fd_pwrite", "iiili", noFile},
		{"fd_readdir", "iiili", noFile},
		{"path_create_directory", "iii", noFile},
		{"path_filestat_get", "iiiii", noFile},
		{"path_filestat_set_times", "iiiilli", noFile},
		{"path_link", "iiiiiii", noFile},
		{"path_open", "iiiiillii", noFile},
		{"path_readlink", "iiiiii", noFile},
		{"path_remove_directory", "iii", noFile},
		{"path_rename", "iiiiii", noFile},
		{"path_symlink", "iiiii", noFile},
		{"path_unlink_file", "iii", noFile},
	} {
		params := make([]api.ValueType, len(f.params))
		for i, p := range f.params {
			params[i] = i32
			if p == 'l' {
				params[i] = i64
			}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(f.call, params, []api.ValueType{i32}).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("WASI: %w", err)
	}
	return nil
}

func noFile(_ context.Context, _ api.Module, s []uint64) { s[0] = wasiBadf }

// randomGet fills (buffer, length).
func randomGet(ctx context.Context, m api.Module, s []uint64) {
	in, b := caller(ctx), view(m, s[0], s[1])
	for len(b) > 0 {
		n := min(len(b), randomPiece)
		_, _ = rand.Read(b[:n]) // it does not fail: it ends the program
		in.spend(n)
		b = b[n:]
	}
	s[0] = wasiSuccess
}

// fdWrite writes (descriptor, vectors, their number, where to put the length);
// standard output and error are all that there is.
func fdWrite(ctx context.Context, m api.Module, s []uint64) {
	in, fd, n := caller(ctx), uint32(s[0]), uint32(s[2])
	if fd != 1 && fd != 2 {
		s[0] = wasiBadf
		return
	}
	vectors := view(m, s[1], 8*uint64(min(n, maxVectors)))
	written := 0
	for ; len(vectors) > 0 && written < maxWrite; vectors = vectors[8:] {
		at, length := binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:])
		b := view(m, uint64(at), uint64(length))
		k, _ := in.output.Write(b[:min(len(b), maxWrite-written)])
		written += k
	}
	in.spend(1000 + written)
	put32(m, s[3], uint32(written))
	s[0] = wasiSuccess
}

// fdRead finds standard input empty.
func fdRead(ctx context.Context, m api.Module, s []uint64) {
	if uint32(s[0]) != 0 {
		s[0] = wasiBadf
		return
	}
	put32(m, s[3], 0)
	s[0] = wasiSuccess
}

// pollOneoff sleeps for the shortest of the clocks in (subscriptions, events,
// their number, where to put how many happened). A descriptor is ready with an
// error.
func pollOneoff(ctx context.Context, m api.Module, s []uint64) {
	in, n := caller(ctx), uint32(s[2])
	if n == 0 || n > maxPolled {
		s[0] = wasiInval
		return
	}
	asked, events := view(m, s[0], uint64(n)*subscription), view(m, s[1], uint64(n)*pollEvent)
	pause, clocks := time.Duration(1<<63-1), uint32(0)
	for i := range n {
		q, e := asked[i*subscription:(i+1)*subscription], events[i*pollEvent:(i+1)*pollEvent]
		kind, errno := q[8], uint16(wasiSuccess)
		switch {
		case kind == 0 && binary.LittleEndian.Uint16(q[40:])&1 != 0:
			errno = wasiNotsup // an absolute time
		case kind == 0:
			clocks++
			pause = min(pause, time.Duration(min(binary.LittleEndian.Uint64(q[24:]), 1<<62)))
		default:
			errno = wasiBadf
		}
		user := binary.LittleEndian.Uint64(q)
		clear(e)
		binary.LittleEndian.PutUint64(e, user)
		binary.LittleEndian.PutUint16(e[8:], errno)
		e[10] = kind
	}
	if clocks == n {
		in.sleep(int64(pause))
	}
	in.checkTime()
	put32(m, s[3], n)
	s[0] = wasiSuccess
}

func put32(m api.Module, at uint64, v uint32) {
	binary.LittleEndian.PutUint32(view(m, at, 4), v)
}
