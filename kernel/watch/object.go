package watch

import (
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is one revision of one object. It is immutable and shared: nobody
// may modify Obj or the encodings.
type Object struct {
	Key       string // the store's key
	Namespace string
	Name      string
	Revision  int64          // its resourceVersion
	Obj       runtime.Object // hub version, with resourceVersion set

	mu  sync.Mutex
	enc []encoding // guarded by mu; few entries, searched linearly
}

type encoding struct {
	version, mediaType string
	bytes              []byte
}

// Encoding returns the object's bytes in a version and media type, calling
// make at most once for each and keeping what it returns.
func (o *Object) Encoding(version, mediaType string, make func(runtime.Object) ([]byte, error)) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.enc {
		if e.version == version && e.mediaType == mediaType {
			return e.bytes, nil
		}
	}
	b, err := make(o.Obj)
	if err != nil {
		return nil, err
	}
	o.enc = append(o.enc, encoding{version, mediaType, b})
	return b, nil
}

// at returns a copy of the object with another resourceVersion: what a watcher
// is told of an object that is gone.
func (o *Object) at(rev int64) *Object {
	obj := o.Obj.DeepCopyObject()
	if m, err := meta.Accessor(obj); err == nil {
		m.SetResourceVersion(strconv.FormatInt(rev, 10))
	}
	return &Object{Key: o.Key, Namespace: o.Namespace, Name: o.Name, Revision: rev, Obj: obj}
}
