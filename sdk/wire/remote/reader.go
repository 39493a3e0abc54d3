package remote

import (
	"bytes"
	"reflect"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// maxRemembered and maxBody bound what a Reader keeps: that many objects, of at
// most so many bytes each as they came.
const (
	maxRemembered = 256
	maxBody       = 4 << 10
)

// NewReader makes the Reader of one instance. Policies get theirs with the
// Review and have no need of it.
func NewReader(call wire.HostCall) client.Reader {
	return &reader{kernel: &caller{call: call, lists: map[listKey]*heldList{}}, seen: map[readKey]remembered{}}
}

// reader remembers what it decoded: a thousand pods name the same account, and
// in a guest decoding costs more than the call.
type reader struct {
	kernel *caller
	seen   map[readKey]remembered
}

type readKey struct {
	into                      reflect.Type
	resource, namespace, name string
}

type remembered struct {
	body  []byte
	value reflect.Value
}

func (r *reader) List(list any, o client.ListOptions) error { return r.kernel.List(list, o) }

func (r *reader) Get(obj client.Object, namespace, name string) error {
	resp, err := r.kernel.do(wire.HostGet, wire.GetRequest{Resource: obj.APIResource(), Namespace: namespace, Name: name, Only: onlyOf(obj)}.Append)
	if err != nil {
		return err
	}
	v := reflect.ValueOf(obj)
	key := readKey{v.Type(), obj.APIResource(), namespace, name}
	if old, ok := r.seen[key]; ok && bytes.Equal(old.body, resp) {
		v.Elem().Set(old.value)
		return nil
	}
	if err := replace(obj, resp); err != nil || len(resp) > maxBody {
		return err
	}
	if len(r.seen) >= maxRemembered {
		clear(r.seen)
	}
	kept := reflect.New(v.Type().Elem()).Elem()
	kept.Set(v.Elem())
	r.seen[key] = remembered{bytes.Clone(resp), kept}
	return nil
}
