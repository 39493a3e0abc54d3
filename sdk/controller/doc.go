// Package controller is what the author of a controller imports: it watches
// objects and brings what they say about.
//
//	sdk.Register(sdk.Plugin{Name: "team-quota", New: func([]byte) (sdk.Points, error) {
//		return &controller.Points{Watches: []controller.Watch{{Resource: "v1/namespaces"}}, Reconcile: reconcile}, nil
//	}})
//
//	func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
package controller
