package lb

import "github.com/pintle-io/pintle/ebpf/bpf"

// mirror is what the maps hold, so that a change is written without reading.
type mirror struct {
	groups map[string]*group
	// owners are the claims on each frontend, in order of arrival; the first
	// one is in the map. Two services may want one address for a moment, when
	// one takes over what the other gives up.
	owners map[bpf.LBFrontendKey][]*group
	nextID uint32
}

// group is one service in the maps.
type group struct {
	key       string
	id        uint32
	frontends []bpf.LBFrontendKey // claimed; sorted
	slots     []slot              // what slots 0.. hold
	value     bpf.LBFrontend      // what the owned frontends hold
	recovered bool                // found in the maps; its key is not known yet
}

// udp reports whether connected sockets may stay where a backend was. A group
// that claims no frontend any more may have been one.
func (g *group) udp() bool {
	return len(g.frontends) == 0 || Protocol(g.frontends[0].Proto) == UDP
}

type slot struct {
	id      uint32
	backend bpf.LBBackend
}

func newMirror() mirror {
	return mirror{groups: map[string]*group{}, owners: map[bpf.LBFrontendKey][]*group{}, nextID: 1}
}

// take returns an id that no service and no backend of this mirror's life has
// had. Ids are not used again, because affinities and flows remember them.
func (m *mirror) take() uint32 {
	id := m.nextID
	m.nextID++
	return id
}
