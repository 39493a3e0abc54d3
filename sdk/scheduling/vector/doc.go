// Package vector computes over columns of many nodes at once: what the hot
// forms of a filter and a score are made of, FilterAll and
// ScoreAll.
//
// The operations ([Short], [In], [Lookup], [Least2] …) work on any slices,
// mostly columns and masks. Natively they are plain Go. In a WASM guest they
// are imports, which the host serves from [Imports]: a guest's loop over 5,000
// rows costs ten times as much as the host's.
package vector
