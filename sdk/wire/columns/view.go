package columns

// view holds the columns of one region as slices.
type view struct {
	allocCPU, allocMemory, allocEphemeral, allocPods []int64
	requestCPU, requestMemory, requestEphemeral      []int64
	requestPods, nonZeroCPU, nonZeroMemory           []int64
	generation                                       []int64
	name, flags, taintSet, imageSet, labelSet        []uint32
	portSet                                          []uint32

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
	i64 := func(id ID) []int64 { return l.Int64s(region, id, 0) }
	u32 := func(id ID) []uint32 { return l.Uint32s(region, id, 0) }
	v := view{
		allocCPU: i64(AllocCPU), allocMemory: i64(AllocMemory), allocEphemeral: i64(AllocEphemeral), allocPods: i64(AllocPods),
		requestCPU: i64(RequestCPU), requestMemory: i64(RequestMemory), requestEphemeral: i64(RequestEphemeral), requestPods: i64(RequestPods),
		nonZeroCPU: i64(NonZeroCPU), nonZeroMemory: i64(NonZeroMemory), generation: i64(Generation),
		name: u32(Name), flags: u32(Flags), taintSet: u32(TaintSet), imageSet: u32(ImageSet), labelSet: u32(LabelSet),
		portSet: u32(PortSet),
	}
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
