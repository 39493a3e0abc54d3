// Package controllertest holds the controllers that ship to what a user sees
// of them, in every host: a registry on a store in memory, the reconcile
// manager, and a node that runs nothing but says so. It consists of tests.
package controllertest
