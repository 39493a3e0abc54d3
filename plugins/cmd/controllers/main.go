// Command controllers is the module of every built-in controller.
package main

import (
	"github.com/pintle-io/pintle/sdk/serve"

	_ "github.com/pintle-io/pintle/plugins/controllers/deployment"
	_ "github.com/pintle-io/pintle/plugins/controllers/endpointslice"
	_ "github.com/pintle-io/pintle/plugins/controllers/garbage"
	_ "github.com/pintle-io/pintle/plugins/controllers/namespace"
	_ "github.com/pintle-io/pintle/plugins/controllers/nodeipam"
	_ "github.com/pintle-io/pintle/plugins/controllers/nodelifecycle"
	_ "github.com/pintle-io/pintle/plugins/controllers/replicaset"
	_ "github.com/pintle-io/pintle/plugins/controllers/rootca"
	_ "github.com/pintle-io/pintle/plugins/controllers/serviceaccount"
)

func main() { serve.Main() }
