package main

import "ci/agentd/toolbox"

// inside carries out a verb of the toolbox, when the program was not called as ci.
func inside(args []string) (code int, ran bool) { return toolbox.Main(args) }
