// Package client reads and writes objects of the API from a plugin. A
// controller is given a [Client], an admission rule a [Reader].
package client
