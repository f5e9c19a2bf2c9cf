// Looks up each name once with Go's own resolver, and prints the seconds of each. Built with CGO_ENABLED=0.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	for _, name := range os.Args[1:] {
		began := time.Now()
		_, err := net.LookupHost(name)
		seconds, failed := time.Since(began).Seconds(), 0
		if err != nil {
			failed = 1
		}
		fmt.Printf("{\"name\": %q, \"seconds\": %.6f, \"failed\": %d}\n", name, seconds, failed)
		time.Sleep(50 * time.Millisecond)
	}
}
