package sdk

import (
	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Join makes one instance serve points of several kinds, for a plugin whose
// controller and admission rule, say, share what they know. At most one of
// each kind is served: of two, the first.
func Join(points ...Points) Points { return joined(points) }

type joined []Points

func (j joined) Open(h instance.Host) instance.Instance {
	out := make(instances, 0, len(j))
	for _, p := range j {
		if p != nil {
			out = append(out, p.Open(h))
		}
	}
	return out
}

type instances []instance.Instance

func (list instances) Describe(m *wire.Manifest) {
	for _, in := range list {
		in.Describe(m)
	}
}

func (list instances) find(op wire.Op) instance.Instance {
	for _, in := range list {
		if in.Serves(op) {
			return in
		}
	}
	return nil
}

func (list instances) Serves(op wire.Op) bool { return list.find(op) != nil }

func (list instances) Serve(out []byte, op wire.Op, req, region []byte) ([]byte, error) {
	return list.find(op).Serve(out, op, req, region)
}

func (list instances) Close() {
	for _, in := range list {
		in.Close()
	}
}
