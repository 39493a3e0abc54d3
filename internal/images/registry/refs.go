package registry

import (
	"encoding/json"
	"strings"
)

// record is a manifest's name, as it lies on disk.
type record struct {
	Repo        string `json:"repo"`
	Target      string `json:"target"` // tag or digest
	ContentType string `json:"contentType"`
	Digest      string `json:"digest"` // of the manifest, which lies among the blobs of kind "manifests"
}

type name struct{ repo, target string }

func (rec record) name() name  { return name{rec.Repo, rec.Target} }
func (rec record) isTag() bool { return !strings.Contains(rec.Target, ":") }

// contents are what a manifest refers to, by digest: an image's blobs, or an
// index's manifests.
type contents struct {
	size      int64
	blobs     []string
	manifests []string
}

// parse reads what a manifest refers to. What is no manifest refers to nothing.
func parse(manifest []byte) contents {
	type descriptor struct {
		Digest string `json:"digest"`
	}
	var m struct {
		Config    descriptor   `json:"config"`
		Layers    []descriptor `json:"layers"`
		Manifests []descriptor `json:"manifests"`
	}
	c := contents{size: int64(len(manifest))}
	if json.Unmarshal(manifest, &m) != nil {
		return c
	}
	for _, d := range append(m.Layers, m.Config) {
		c.blobs = append(c.blobs, d.Digest)
	}
	for _, d := range m.Manifests {
		c.manifests = append(c.manifests, d.Digest)
	}
	return c
}

// refs knows every name and what it holds. The zero value is not usable.
type refs struct {
	records   map[name]record
	manifests map[name]contents // by repository and digest
	bytes     int64             // of all manifests
}

func newRefs() *refs {
	return &refs{records: map[name]record{}, manifests: map[name]contents{}}
}

// fits reports whether one more manifest is within the limits.
func (r *refs) fits(rec record, size int64, limit Limits) bool {
	more := 0
	for _, target := range []string{rec.Target, rec.Digest} {
		if _, ok := r.records[name{rec.Repo, target}]; !ok {
			more++
		}
	}
	if _, ok := r.manifests[name{rec.Repo, rec.Digest}]; ok {
		size = 0
	}
	return len(r.records)+more <= limit.References && r.bytes+size <= limit.Manifests
}

func (r *refs) add(rec record, c contents) {
	r.records[rec.name()] = rec
	of := name{rec.Repo, rec.Digest}
	if _, ok := r.manifests[of]; !ok {
		r.manifests[of] = c
		r.bytes += c.size
	}
}

// withdraw are the names that go when one is deleted: a tag takes its manifest
// along when nothing else in the repository needs that, a manifest its tags, and
// an index the manifests that only it holds.
func (r *refs) withdraw(n name) []record {
	rec, ok := r.records[n]
	if !ok {
		return nil
	}
	gone := map[name]record{n: rec}
	if !rec.isTag() {
		for m, other := range r.records {
			if m.repo == n.repo && other.Digest == rec.Digest {
				gone[m] = other
			}
		}
	}
	for more := []string{rec.Digest}; len(more) > 0; more = more[1:] {
		of := name{n.repo, more[0]}
		if more[0] != n.target && r.needed(of, gone) {
			continue
		}
		if other, ok := r.records[of]; ok {
			gone[of] = other
		}
		more = append(more, r.manifests[of].manifests...)
	}
	out := make([]record, 0, len(gone))
	for _, rec := range gone {
		out = append(out, rec)
	}
	return out
}

// needed reports whether a tag or an index that stays needs a manifest.
func (r *refs) needed(of name, gone map[name]record) bool {
	for n, rec := range r.records {
		if _, going := gone[n]; going || n.repo != of.repo {
			continue
		}
		if rec.isTag() && rec.Digest == of.target {
			return true
		}
		for _, child := range r.manifests[name{n.repo, rec.Digest}].manifests {
			if child == of.target {
				return true
			}
		}
	}
	return false
}

func (r *refs) remove(rec record) {
	delete(r.records, rec.name())
	for n, other := range r.records {
		if n.repo == rec.Repo && other.Digest == rec.Digest {
			return
		}
	}
	of := name{rec.Repo, rec.Digest}
	r.bytes -= r.manifests[of].size
	delete(r.manifests, of)
}

// holds are the digests of all manifests and of all blobs that they refer to.
func (r *refs) holds() (manifests, blobs map[string]bool) {
	manifests, blobs = map[string]bool{}, map[string]bool{}
	for n, c := range r.manifests {
		manifests[n.target] = true
		for _, d := range c.blobs {
			blobs[d] = true
		}
	}
	return manifests, blobs
}
