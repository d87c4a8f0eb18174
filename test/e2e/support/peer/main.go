// The two halves of tests about sockets and FIFOs: one runs on the HOST, one on the DPU.
// A static program whose runtime waits by epoll, as Docker's and containerd's does.
package main

import (
	"fmt"
	"io"
	"os"
)

var commands = map[string]func(args []string){
	"echo":      echo,
	"say":       say,
	"deadlines": deadlines,
	"stall":     stall,
	"accept":    acceptOnce,
	"answer":    answer,
	"ask":       ask,
	"urgent":    urgent,
	"urged":     urged,
	"notified":  notified,
	"notify":    notify,
	"give":      give,
	"take":      take,
	"serve":     serve,
	"dial":      dial,
	"flood":     flood,
	"hoard":     hoard,
	"fifos":     fifos,
	"pour":      pour,
	"open":      openAll,
	"cat":       cat,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peer COMMAND ARGS…, see the functions of that name")
		os.Exit(2)
	}
	commands[os.Args[1]](os.Args[2:])
}

// Ends the program where a test would have nothing more to show.
func must(err error, what string) {
	if err == nil {
		return
	}
	fmt.Printf("%s: %v\n", what, err)
	os.Exit(1)
}

// What the test waits for before it starts the other half.
func ready() {
	fmt.Println("ready")
}

// peer cat: what comes by stdin goes to stdout; then it says on stderr that it is done.
func cat([]string) {
	_, err := io.Copy(os.Stdout, os.Stdin)
	must(err, "copy")
	fmt.Fprintln(os.Stderr, "done")
}
