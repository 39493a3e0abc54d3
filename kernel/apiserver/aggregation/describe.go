package aggregation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pintle-io/pintle/kernel/apiserver/openapi"
)

// descriptions are the documents of /openapi/v2 of extension servers. They are asked
// for when somebody asks for this server's: few do, and the documents are large.
type descriptions struct {
	mu    sync.Mutex
	known map[*backend]description // guarded by mu
}

// description is what one said last.
type description struct {
	openapi.Extension // without JSON: it has none
	at                time.Time
}

// described is for how long what one said is believed.
const described = time.Minute

// OpenAPIV2 are the documents of v2 of the extension servers that answer, by path. What
// was said a minute ago is asked for again; one that does not answer within its time
// keeps what it said.
func (a *Aggregator) OpenAPIV2(ctx context.Context) []openapi.Extension {
	d := &a.descriptions
	d.mu.Lock() // who comes meanwhile wants the same
	defer d.mu.Unlock()
	backends := a.view.Load().backends
	var asking sync.WaitGroup
	found := make(chan func(), len(backends))
	for _, b := range backends {
		if x, ok := d.known[b]; b.available.Load() && (!ok || time.Since(x.at) > described) {
			asking.Go(func() {
				doc, err := b.fetch(ctx, "/openapi/v2")
				if ctx.Err() == nil { // else it had not its time
					found <- func() { d.note(b, doc, err) }
				}
			})
		}
	}
	asking.Wait()
	close(found)
	for note := range found {
		note()
	}
	var out []openapi.Extension
	next := map[*backend]description{}
	for _, b := range backends {
		if x, ok := d.known[b]; ok {
			next[b] = x
			if x.JSON != nil {
				out = append(out, x.Extension)
			}
		}
	}
	d.known = next // without those that are gone
	slices.SortFunc(out, func(x, y openapi.Extension) int { return cmp.Compare(x.Path, y.Path) })
	return out
}

// note keeps what a backend said.
func (d *descriptions) note(b *backend, doc []byte, err error) {
	x := d.known[b]
	var no errStatus
	switch {
	case err != nil && x.JSON == nil && !errors.As(err, &no):
		return // it did not say that it has none: it is asked again
	case err == nil && doc == nil:
		b.a.c.Log.Warn("what an extension server says at /openapi/v2 is too large, or cut off", "apiservice", b.name, "limit", maxDocument)
	}
	x.at = time.Now()
	if err == nil && doc != nil {
		sum := sha256.Sum256(doc)
		x.Extension = openapi.Extension{Path: b.path(), JSON: doc, Hash: hex.EncodeToString(sum[:])}
	}
	if d.known == nil {
		d.known = map[*backend]description{}
	}
	d.known[b] = x
}
