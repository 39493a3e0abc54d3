// Package scheduling is what the author of a scheduling plugin imports: filters
// and scores over the nodes of a cluster.
//
//	sdk.Register(sdk.Plugin{Name: "even-nodes", New: func([]byte) (sdk.Points, error) {
//		return &scheduling.Points{Filter: filter}, nil
//	}})
//
//	func filter(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
//
// Filter and Score are asked about one node at a time. FilterAll and ScoreAll
// are their hot forms, which compute over columns with package vector.
//
// Its 17 files are one for each thing that an author meets, and Pod has 26 methods, one
// for each part that is read often.
//
// Snapshot has 29 methods, because an author holds one value: each is one read of
// nodes, of pods on nodes, or of what they have in common, and their state is the
// same columns.
package scheduling
