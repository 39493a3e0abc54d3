package evaluate

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// reason is why a node does not fit.
type reason struct {
	instance, member int
	unresolvable     bool
	texts            []string
}

// setReason says why a row does not fit; 0 is that it does.
func (v *verdicts) setReason(row int, id uint32) {
	v.counts[v.row[row]]--
	v.row[row] = id
	v.counts[id]++
}

// reasonID maps an instance's reason id to that of the verdicts; 0 when there
// is none.
func (v *verdicts) reasonID(instance int, id uint32) uint32 {
	ids := v.pre[instance].ids
	if id == 0 || int(id) > len(ids) {
		return 0
	}
	return ids[id-1]
}

// maxReasons bounds the reasons that are kept for one signature; each new one is
// compared with all.
const maxReasons = 4096

// addReasons adds what an instance gave for the first time since its PreFilter.
func (v *verdicts) addReasons(instance int, list []schedule.ReasonInfo) error {
	if len(v.reasons)+len(list) > maxReasons {
		return wrongf("nodes are refused for more than %d reasons", maxReasons)
	}
	for _, x := range list {
		r := reason{instance: instance, member: x.Member, unresolvable: x.Unresolvable, texts: x.Reasons}
		id := 0
		for i := range v.reasons {
			if v.reasons[i].equal(&r) {
				id = i + 1
			}
		}
		if id == 0 {
			v.reasons = append(v.reasons, r)
			v.counts = append(v.counts, 0)
			id = len(v.reasons)
		}
		v.pre[instance].ids = append(v.pre[instance].ids, uint32(id))
	}
	return nil
}

func (r *reason) equal(o *reason) bool {
	return r.instance == o.instance && r.member == o.member && r.unresolvable == o.unresolvable && slices.Equal(r.texts, o.texts)
}

// unnamedReason is the reason for rows that an instance rejects without a valid
// one.
func (v *verdicts) unnamedReason(instance int) uint32 {
	r := reason{instance: instance, member: -1, texts: []string{"node(s) were rejected without a reason"}}
	for i := range v.reasons {
		if v.reasons[i].equal(&r) {
			return uint32(i + 1)
		}
	}
	v.reasons = append(v.reasons, r)
	v.counts = append(v.counts, 0)
	return uint32(len(v.reasons))
}
