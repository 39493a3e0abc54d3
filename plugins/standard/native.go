package standard

// The same sources, linked in, for --plugin-host=native.
import (
	_ "github.com/pintle-io/pintle/plugins/admission/claimresize"
	_ "github.com/pintle-io/pintle/plugins/admission/defaultclass"
	_ "github.com/pintle-io/pintle/plugins/admission/defaulttolerations"
	_ "github.com/pintle-io/pintle/plugins/admission/limitranger"
	_ "github.com/pintle-io/pintle/plugins/admission/nodetaint"
	_ "github.com/pintle-io/pintle/plugins/admission/podsecurity"
	_ "github.com/pintle-io/pintle/plugins/admission/priority"
	_ "github.com/pintle-io/pintle/plugins/admission/resourcequota"
	_ "github.com/pintle-io/pintle/plugins/admission/runtimeclass"
	_ "github.com/pintle-io/pintle/plugins/admission/serviceaccount"
	_ "github.com/pintle-io/pintle/plugins/admission/storageprotection"
	_ "github.com/pintle-io/pintle/plugins/controllers/deployment"
	_ "github.com/pintle-io/pintle/plugins/controllers/endpointslice"
	_ "github.com/pintle-io/pintle/plugins/controllers/garbage"
	_ "github.com/pintle-io/pintle/plugins/controllers/namespace"
	_ "github.com/pintle-io/pintle/plugins/controllers/nodeipam"
	_ "github.com/pintle-io/pintle/plugins/controllers/nodelifecycle"
	_ "github.com/pintle-io/pintle/plugins/controllers/pvcprotection"
	_ "github.com/pintle-io/pintle/plugins/controllers/pvprotection"
	_ "github.com/pintle-io/pintle/plugins/controllers/replicaset"
	_ "github.com/pintle-io/pintle/plugins/controllers/resourcequota"
	_ "github.com/pintle-io/pintle/plugins/controllers/rootca"
	_ "github.com/pintle-io/pintle/plugins/controllers/serviceaccount"
	_ "github.com/pintle-io/pintle/plugins/scheduling"
)
