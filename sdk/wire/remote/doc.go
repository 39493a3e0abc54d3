// Package remote is the client of a plugin's instance: it puts what the plugin
// asks for into frames that its host carries to the kernel.
package remote
