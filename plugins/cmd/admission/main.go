// Command admission is the module of every built-in admission rule.
package main

import (
	"github.com/pintle-io/pintle/sdk/serve"

	_ "github.com/pintle-io/pintle/plugins/admission/defaulttolerations"
	_ "github.com/pintle-io/pintle/plugins/admission/serviceaccount"
)

func main() { serve.Main() }
