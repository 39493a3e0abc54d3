package columns

// view holds the columns of one region as slices.
type view struct {
	fixedView
	extended []extended
	dense    []dense
}

type extended struct {
	key            uint32
	alloc, request []int64
}

type dense struct {
	key    uint32
	values []uint32
}

func newView(l Layout, region []byte) view {
	var v view
	v.bind(l, region)
	for _, c := range l.Columns {
		switch c.ID {
		case AllocExtended:
			v.extended = append(v.extended, extended{c.Key, l.Int64s(region, c.ID, c.Key), l.Int64s(region, RequestExtended, c.Key)})
		case Label:
			v.dense = append(v.dense, dense{c.Key, l.Uint32s(region, c.ID, c.Key)})
		}
	}
	return v
}

func (v *view) isDense(key uint32) bool {
	for i := range v.dense {
		if v.dense[i].key == key {
			return true
		}
	}
	return false
}
