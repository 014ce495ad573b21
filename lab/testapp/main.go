// Command app is what runs in the lab's containers, and the two small servers
// that the lab itself needs (a resolver and a registry).
//
// It fails on demand, always as the container's main process: on cgroup v1 a
// child that is out of memory is killed alone and the container lives on.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: app COMMAND [flags]
  serve     HTTP server: / /healthz /readyz /ready?on= /alloc?mb= /exit?code=
  alloc     allocate and touch -mb MiB, then hold them
  exit      print -message on stderr after -after, leave with -code
  print     print the arguments -every so often
  get       fetch a URL, leave with 1 unless the answer is 2xx
  resolver  a name server that knows no name (NXDOMAIN)
  registry  an image registry: 401 below private/, else what -root holds, else not found
  proxy     stands before the API server and goes silent for a resource on demand`

func main() {
	commands := map[string]func([]string){
		"serve": serve, "alloc": alloc, "exit": leave, "print": printing,
		"get": get, "resolver": resolver, "registry": registry,
		"proxy": proxy,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	commands[os.Args[1]](os.Args[2:])
}

// fail says why on stderr and leaves.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "app:", err)
	os.Exit(1)
}

// parse reads flags and returns what is left; a wrong flag ends the program.
func parse(f *flag.FlagSet, args []string) []string {
	if err := f.Parse(args); err != nil {
		os.Exit(2)
	}
	return f.Args()
}

// hold waits for SIGTERM or SIGINT, as a well-behaved container does.
func hold() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
}

// kept keeps allocated memory reachable.
var kept [][]byte

// grow allocates and touches memory in steps, so that the kernel must give real
// pages and the log shows how far it came.
func grow(megabytes int, pause time.Duration) {
	for i := range megabytes {
		block := make([]byte, 1<<20)
		for j := 0; j < len(block); j += 4096 {
			block[j] = 1
		}
		kept = append(kept, block)
		if (i+1)%16 == 0 {
			fmt.Printf("allocated %d MiB\n", i+1)
		}
		time.Sleep(pause)
	}
}

func alloc(args []string) {
	f := flag.NewFlagSet("alloc", flag.ContinueOnError)
	megabytes := f.Int("mb", 128, "MiB to allocate")
	after := f.Duration("after", 0, "wait before the first one")
	pause := f.Duration("pause", 2*time.Millisecond, "wait after each MiB")
	parse(f, args)
	time.Sleep(*after)
	grow(*megabytes, *pause)
	fmt.Printf("holding %d MiB\n", *megabytes)
	hold()
}

func leave(args []string) {
	f := flag.NewFlagSet("exit", flag.ContinueOnError)
	code := f.Int("code", 1, "exit code")
	message := f.String("message", "", "printed on stderr")
	after := f.Duration("after", 0, "time to live")
	parse(f, args)
	time.Sleep(*after)
	if *message != "" {
		fmt.Fprintln(os.Stderr, *message)
	}
	os.Exit(*code)
}

func printing(args []string) {
	f := flag.NewFlagSet("print", flag.ContinueOnError)
	every := f.Duration("every", time.Second, "pause between two lines")
	text := strings.Join(parse(f, args), " ")
	go func() {
		for {
			fmt.Println(text)
			time.Sleep(*every)
		}
	}()
	hold()
}
