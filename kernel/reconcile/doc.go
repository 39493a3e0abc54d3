// Package reconcile runs controllers: it follows the resources that a
// controller watches, turns changes into requests, queues them without
// duplicates, and lets instances of the controller's plugin reconcile them,
// with back-off after errors.
//
// A controller is a plugin like any other; the package knows only its manifest
// and two operations (reconcile, map). What a plugin reads and writes goes
// through the registry under the plugin's own identity and permissions
// ([hostclient]). A controller without work costs nothing but its queue.
//
// Start reading at [Manager]; [Queue] is the data structure.
package reconcile
