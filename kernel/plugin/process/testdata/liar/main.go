// Command liar is a program that says it listens where it does not: at what
// another program, of the server's, listens at.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	at := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/link"
	switch lie {
	case "path":
		at = target
	case "link":
		if err := os.Symlink(target, at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "tcp":
		fmt.Printf("1|1|tcp|%s|grpc\n", target)
		time.Sleep(time.Hour)
	}
	fmt.Printf("1|1|unix|%s|grpc\n", at)
	time.Sleep(time.Hour)
}

// Set by the linker.
var lie, target string
