package guests

import "os"

func init() {
	Register("exit 0", func(*Call) error { os.Exit(0); return nil })
	Register("exit 3", func(*Call) error { os.Exit(3); return nil })
}
