package record

// Locator finds the values at some paths in the records of one declaration, all of
// them in one pass: [Value.Get] takes each path apart and steps over what lies
// before it every time. It does not change.
type Locator struct {
	root  []place
	paths []located
}

// place is a declared field: the path that ends there, and those that go on.
type place struct {
	path int // plus one; 0 is none
	in   []place
}

// located is where a path ends.
type located struct {
	fields   *Fields // that are declared there
	declared bool    // by their names, from the object on
}

// NewLocator prepares to find these paths, which are all names, in records of f.
func NewLocator(f *Fields, paths ...string) *Locator {
	l := &Locator{paths: make([]located, len(paths))}
	for i, path := range paths {
		at, in := f, &l.root
		for path != "" && at != nil {
			s, rest, ok := next(path)
			if !ok {
				break
			}
			k := at.index(s.Key)
			if k < 0 {
				break
			}
			if *in == nil {
				*in = make([]place, len(at.list))
			}
			p := &(*in)[k]
			at, in, path = at.list[k].fields, &p.in, rest
			if path == "" {
				p.path, l.paths[i] = i+1, located{at, true}
			}
		}
	}
	return l
}

// Declared is what is declared of path i. It is false when the path is not declared
// by name: it lies in what is declared as a whole, or is not declared at all.
func (l *Locator) Declared(i int) (*Fields, bool) { return l.paths[i].fields, l.paths[i].declared }

// Locate notes for every declared path where its value is in the object v, a record
// of the locator's declaration; see [Locator.At].
func (l *Locator) Locate(v Value, at []int32) {
	clear(at)
	if v.doc != nil {
		c := cursor{v.doc.text, v.at}
		_ = c.locate(l.root, at) // what is cut short is not there
	}
}

// At is the value at declared path i of the object v, of which at was noted.
func (l *Locator) At(v Value, at []int32, i int) Value {
	if at[i] == 0 {
		return Value{}
	}
	return Value{v.doc, int(at[i]), l.paths[i].fields}
}

// locate steps over a value and notes what of it is looked for. Like [Value.Get] it
// does not mind what is wrong within a struct that it can step over.
func (c *cursor) locate(list []place, at []int32) error {
	if c.at >= len(c.text) || c.text[c.at] != Struct {
		return c.skip()
	}
	end := sizeAt(c.text, c.at+1)
	if end < 0 || end > len(c.text) {
		return errShort
	}
	c.at += 5
	for i := 0; i < len(list) && c.at < end; i++ {
		if c.text[c.at] == None { // most fields of most objects
			c.at++
			continue
		}
		p := &list[i]
		if p.path > 0 {
			at[p.path-1] = int32(c.at)
		}
		var err error
		if p.in != nil {
			err = c.locate(p.in, at)
		} else {
			err = c.skip()
		}
		if err != nil {
			break
		}
	}
	c.at = end
	return nil
}
