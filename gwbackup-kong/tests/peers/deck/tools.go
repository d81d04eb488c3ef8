//go:build tools

// Package peers pins the programs that the tests build and run.
package peers

import _ "github.com/kong/deck"
