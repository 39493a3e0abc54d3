package view

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// List is the answer of a list: a consistent view at one revision.
type List struct {
	Revision int64
	Items    []*watch.Object
	// Continue is the opaque token of the next page; "" when there is none.
	Continue  string
	Remaining *int64
}

// listing is one list being answered.
type listing struct {
	k      *kinds.Kind
	sel    *selection.Selection
	prefix string // of the keys listed, which tokens are relative to
	limit  int64
	after  string // key behind which to go on
	paging bool   // after came from a token
}

// List answers what a selection sees of a kind's objects in a namespace ("" is all),
// at the revision that the options ask for, and no more than their limit.
//
// # Errors
//   - Status: the options, the token, or the revision cannot be served
//   - ctx's
func (v *Views) List(ctx context.Context, k *kinds.Kind, namespace string, sel *selection.Selection, o metav1.ListOptions) (*List, error) {
	l := &listing{k: k, sel: sel, prefix: resource.Prefix(k.Definition, k.Scope(namespace)), limit: max(o.Limit, 0)}
	src, err := v.source(ctx, l, o)
	if err != nil {
		return nil, err
	}
	return v.collect(l, src), nil
}

// source finds the objects at the revision that a list asks for.
func (v *Views) source(ctx context.Context, l *listing, o metav1.ListOptions) (selection.Source, error) {
	if o.Continue != "" {
		return v.continued(ctx, l, o)
	}
	rev, err := recent.AskedRevision(o.ResourceVersion)
	if err != nil {
		return nil, status.BadRequestf("invalid resource version: %v", err)
	}
	if o.ResourceVersion == "0" {
		l.limit = 0 // as upstream: what is at hand is answered whole
	}
	exact := o.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		(o.ResourceVersionMatch == "" && l.limit > 0 && rev > 0)
	if exact {
		return v.at(ctx, l, rev)
	}
	if err := v.Beginning(ctx, l.k, "list", o.ResourceVersion, rev); err != nil {
		return nil, err
	}
	return v.cache.Snapshot(l.k.Cached), nil
}

// continued goes on where a token says, at the token's revision.
func (v *Views) continued(ctx context.Context, l *listing, o metav1.ListOptions) (selection.Source, error) {
	start, rev, err := selection.DecodeToken(o.Continue, l.prefix)
	if err != nil {
		return nil, status.BadRequestf("invalid continue token: %v", err)
	}
	if o.ResourceVersion != "" && o.ResourceVersion != "0" {
		return nil, status.BadRequest("specifying resource version is not allowed when using continue")
	}
	l.after, l.paging = strings.TrimSuffix(start, "\x00"), true
	if rev < 0 {
		if err := v.Beginning(ctx, l.k, "list", "", 0); err != nil {
			return nil, err
		}
		return v.cache.Snapshot(l.k.Cached), nil
	}
	return v.at(ctx, l, rev)
}

// at gives the objects at exactly a revision: a snapshot kept, the present one,
// or the store's history.
func (v *Views) at(ctx context.Context, l *listing, rev int64) (selection.Source, error) {
	if s, ok := v.pages.Get(l.k.Cached, rev); ok {
		return s, nil
	}
	if s := v.cache.Snapshot(l.k.Cached); s.Revision() == rev {
		return s, nil
	}
	return v.history(ctx, l, rev)
}

// history reads a past revision from the store.
func (v *Views) history(ctx context.Context, l *listing, rev int64) (selection.Source, error) {
	h := &past{revision: rev}
	after := l.after
	for {
		kvs, more, _, err := v.store.List(ctx, l.prefix, store.ListOptions{Revision: rev, After: after, Limit: historyChunk})
		switch {
		case errors.Is(err, store.ErrCompacted):
			return nil, l.expired()
		case errors.Is(err, store.ErrFuture):
			return nil, status.TooLargeRevision(rev, v.cache.Revision())
		case err != nil:
			return nil, status.Store(l.k.GR, "list", "", err)
		}
		for _, kv := range kvs {
			ns, name, ok := resource.ParseKey(l.k.Definition, kv.Key)
			if !ok {
				continue
			}
			obj, err := v.objects.Decode(recent.ID{Definition: l.k.Definition, Key: kv.Key, Namespace: ns, Name: name}, kv)
			if err != nil {
				return nil, status.Store(l.k.GR, "list", name, err)
			}
			h.objects = append(h.objects, obj)
			after = kv.Key
		}
		// One object behind the limit is enough to know that there are more;
		// a selector may need them all.
		if !more || len(kvs) == 0 || (l.limit > 0 && l.sel.Whole() && int64(len(h.objects)) > l.limit) {
			h.partial = more
			return h, nil
		}
	}
}

// historyChunk is how many objects one read of the store's history takes.
const historyChunk = 1000

// past is part of a resource's objects as they were.
type past struct {
	revision int64
	objects  []*watch.Object // in the order of keys
	partial  bool            // there are more behind
}

func (h *past) Revision() int64 { return h.revision }

func (h *past) Ascend(namespace, after string, fn func(*watch.Object) bool) {
	for _, o := range h.objects {
		if o.Key <= after || (namespace != "" && o.Namespace != namespace) {
			continue
		}
		if !fn(o) {
			return
		}
	}
}

// expired is the answer when a revision is no longer kept. A list in pages may
// go on at the present revision with the token given.
func (l *listing) expired() error {
	if !l.paging {
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - " +
		"objects that were created, modified, or deleted between the time the first chunk was returned and now may " +
		"show up in the list.")
	err.ErrStatus.Continue = selection.EncodeToken(l.after, l.prefix, -1)
	return err
}

// collect takes a page from a view.
func (v *Views) collect(l *listing, src selection.Source) *List {
	out := &List{Revision: src.Revision(), Items: []*watch.Object{}}
	if l.sel.None() {
		return out
	}
	last, more := "", false
	l.sel.Ascend(src, l.after, func(o *watch.Object) bool {
		if l.limit > 0 && int64(len(out.Items)) == l.limit {
			more = true
			return false
		}
		out.Items = append(out.Items, o)
		last = o.Key
		return true
	})
	if !more {
		return out
	}
	out.Continue = selection.EncodeToken(last, l.prefix, out.Revision)
	if s, ok := src.(watch.Snapshot); ok {
		v.pages.Keep(l.k.Cached, s)
	}
	if !l.sel.Selective() {
		out.Remaining = remaining(src, l.sel.Namespace, last)
	}
	return out
}

// remaining counts what is behind a key; nil if the view does not know.
func remaining(src selection.Source, namespace, last string) *int64 {
	if h, ok := src.(*past); ok && h.partial {
		return nil
	}
	var n int64
	src.Ascend(namespace, last, func(*watch.Object) bool { n++; return true })
	return &n
}
