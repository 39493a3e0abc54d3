// Package objects is what plugins of the scheduler see of objects other than nodes
// and pods (claims, volumes, classes …): the state that is stored, with what was
// assumed for pods that are on their way.
//
// A [View] is changed by the scheduler's loop between two decisions. Every change
// has a number, so that whoever remembers what a plugin said can tell whether
// something that it looked at has changed since; [Reads] notes what one instance
// looks at. The package asks nobody: what is stored is put in, and what is assumed
// is a JSON merge patch over it, applied again whenever the stored object changes.
//
// A View is safe for concurrent use.
package objects
