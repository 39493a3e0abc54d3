package wire

// Conversion is the request of OpConvert: objects as JSON, and the version,
// "shop.example/v2", in which they are wanted. The answer is as many objects, in the
// same order; see [AppendObjects].
//
// Objects are whole and come back whole, which is why they are not the records of
// the other points: those are read by fields and never written.
type Conversion struct {
	To      string
	Objects [][]byte
}

// Append encodes the request.
func (c Conversion) Append(b []byte) []byte { return AppendObjects(AppendString(b, c.To), c.Objects) }

// ReadConversion reads a Conversion. The objects are views of the frame.
func ReadConversion(r *Reader) Conversion { return Conversion{r.Str(), ReadObjects(r)} }

// AppendObjects encodes objects as JSON: their number, and each with its length.
func AppendObjects(b []byte, objects [][]byte) []byte {
	b = AppendUint(b, uint64(len(objects)))
	for _, o := range objects {
		b = AppendBytes(b, o)
	}
	return b
}

// ReadObjects reads what AppendObjects wrote; they are views of the frame.
func ReadObjects(r *Reader) [][]byte {
	out := make([][]byte, r.Count(1))
	for i := range out {
		out[i] = r.Bytes()
	}
	return out
}
