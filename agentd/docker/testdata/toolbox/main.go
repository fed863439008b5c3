// Command toolbox is the smallest program that can be the toolbox.
package main

import (
	"os"

	"ci/agentd/toolbox"
)

func main() {
	code, ran := toolbox.Main(os.Args)
	if !ran {
		code = 2
	}
	os.Exit(code)
}
