package scheduling

import "github.com/pintle-io/pintle/sdk/wire/record"

// declaration is what the plugins of an instance declare of pods, or were seen to
// look at (RATIONALE.md, "Why are verdicts remembered by the pod's signature?").
// It only grows: a field that is looked at for the first time reads as not there,
// what is said then is thrown away, and the question is put again.
type declaration struct {
	some    bool           // false: nothing of the pod
	fields  *record.Fields // nil: all of it
	changed bool           // the kernel does not know yet
	parts   uint32         // that are known to be declared
	where   *partLocator   // of fields, when it is not nil
}

// partLocator finds the parts of pods in the records of one declaration.
type partLocator struct {
	*record.Locator
	of *record.Fields
	// plain are the parts of which exactly that is declared which their types have,
	// so that readPart can read them.
	plain uint32
}

// locator is the one of what is declared now.
func (d *declaration) locator() *partLocator {
	if d.where != nil && d.where.of == d.fields {
		return d.where
	}
	paths := make([]string, lenParts)
	for x := range parts {
		paths[x] = parts[x].path
	}
	l := &partLocator{Locator: record.NewLocator(d.fields, paths...), of: d.fields}
	for x := range part(lenParts) {
		if f, ok := l.Declared(int(x)); ok && f.String() == x.declared().String() {
			l.plain |= 1 << x
		}
	}
	d.where = l
	return l
}

// has tells whether all that f declares is declared, and asks for it otherwise.
func (d *declaration) has(f *record.Fields) bool {
	if d.some && d.fields.Covers(f) {
		return true
	}
	if d.some {
		f = record.Union(d.fields, f)
	}
	for levels := 2; len(f.String()) > record.MaxText; levels-- {
		f = f.Names(levels)
	}
	d.some, d.fields, d.changed = true, f, true
	return false
}

// hasPath is has for what lies at a path. A malformed one is not asked for:
// nothing is there.
func (d *declaration) hasPath(path string) bool {
	if d.some && d.fields.Has(path) {
		return true
	}
	f, err := record.FieldsOfPaths(path)
	return err == nil && d.has(f)
}

// hasPart is has for a part of a Pod.
func (d *declaration) hasPart(x part) bool {
	if d.parts&(1<<x) != 0 {
		return true
	}
	f, err := record.At(parts[x].path, x.declared())
	if err != nil || !d.has(f) {
		return false
	}
	d.parts |= 1 << x
	return true
}

// text is the declaration as the kernel is told; nil for nothing.
func (d *declaration) text() *string {
	d.changed = false
	if !d.some {
		return nil
	}
	text := d.fields.String()
	return &text
}
