package plugin

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// opReserve stands for Instance.Reserve among the operations.
const opReserve wire.Op = 0

// callNames are how people call what a plugin is asked.
var callNames = map[wire.Op]string{
	opReserve: "reserve memory", wire.OpHandshake: "handshake", wire.OpOpen: "open", wire.OpClose: "close",
	wire.OpMutate: "mutate", wire.OpValidate: "validate", wire.OpReconcile: "reconcile", wire.OpMap: "map an event", wire.OpConvert: "convert",
	schedule.OpDescribe: "describe", schedule.OpProfile: "take its profile", schedule.OpSnapshot: "sync the nodes", schedule.OpPreFilter: "prefilter",
	schedule.OpCycle: "filter and score", schedule.OpNormalize: "normalize scores",
	schedule.OpReserve: "reserve", schedule.OpUnreserve: "unreserve", schedule.OpPreBind: "prebind",
}

func callName(op wire.Op) string {
	if s, ok := callNames[op]; ok {
		return s
	}
	return fmt.Sprintf("operation %d", op)
}
