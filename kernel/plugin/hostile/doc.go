// Package hostile is the suite of plugins that mean harm. Each case loads one
// into a running control plane and provokes it, while another plugin, the
// neighbour, serves all the points beside it. What has to hold:
//
//   - the server lives, and the neighbour answers every call in time;
//   - the Plugin's status, and an event where the plugin was stopped, say what
//     happened in words that an operator understands;
//   - after the Plugin is deleted everything works as before, without a restart.
//
// # To add a case
//
// What a guest does is an act: a function in package guests, registered by its
// name in a file of its own. A case names the act, the point at which it is
// done, and what status has to say; see attack. Guests that no SDK would make
// are written in the text format below testdata and assembled by wat2wasm.
//
// The package itself is empty: it is all tests.
package hostile
