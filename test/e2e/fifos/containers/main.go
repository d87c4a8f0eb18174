// FIFOs as containerd and its shims use them (github.com/containerd/fifo, pkg/cio), static.
//
//	containers daemon PATH   makes the FIFO, opens it as containerd does, copies until "END"
//	containers shim PATH     opens it as a shim does, and writes
//	containers stdin PATH    writes as containerd does to a shim's stdin
//	containers process PATH  reads that until its end
//	containers close PATH    opens for writing in the background and closes before anybody reads
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const oPath = 0x200000

func must(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// handle keeps a descriptor of the FIFO without opening it, and is the way to open it.
func handle(path string) string {
	if err := syscall.Mkfifo(path, 0o700); err != nil && !os.IsExist(err) {
		must(err)
	}
	fd, err := syscall.Open(path, oPath, 0)
	must(err)
	var status syscall.Stat_t
	must(syscall.Fstat(fd, &status))
	if status.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		must(errors.New("it is no FIFO"))
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

func open(path string, flags int) *os.File {
	file, err := os.OpenFile(path, flags, 0)
	must(err)
	return file
}

func daemon(path string) {
	through := handle(path)
	keep := open(through, syscall.O_RDWR|syscall.O_NONBLOCK)
	defer keep.Close()
	reader := open(through, syscall.O_RDONLY|syscall.O_NONBLOCK)
	// Nothing is there, and nothing is at its end: the runtime's poller waits.
	must(reader.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
	_, err := reader.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		must(fmt.Errorf("a read ended with %v", err))
	}
	must(reader.SetReadDeadline(time.Time{}))
	fmt.Println("ready")
	lines := bufio.NewScanner(reader)
	count := 0
	for lines.Scan() && lines.Text() != "END" {
		count++
	}
	must(lines.Err())
	fmt.Println(count, "lines")
}

func shim(path string) {
	through := handle(path)
	writer := open(through, syscall.O_WRONLY)
	// So that the container gets no SIGPIPE while containerd restarts.
	keep := open(through, syscall.O_RDONLY)
	defer keep.Close()
	for i := 0; i < 1000; i++ {
		_, err := fmt.Fprintln(writer, "line", i)
		must(err)
	}
	_, err := fmt.Fprintln(writer, "END")
	must(err)
	// Read by then, not by us.
	time.Sleep(500 * time.Millisecond)
	must(writer.Close())
	fmt.Println("written")
}

func stdin(path string) {
	writer := open(handle(path), syscall.O_WRONLY)
	for i := 0; i < 1000; i++ {
		_, err := fmt.Fprintln(writer, "line", i)
		must(err)
	}
	must(writer.Close())
	fmt.Println("written")
}

func process(path string) {
	reader := open(handle(path), syscall.O_RDONLY)
	data, err := io.ReadAll(reader)
	must(err)
	fmt.Println(len(data), "bytes")
}

func closing(path string) {
	through := handle(path)
	opened := make(chan error)
	go func() {
		file, err := os.OpenFile(through, syscall.O_WRONLY, 0)
		if err == nil {
			file.Close()
		}
		opened <- err
	}()
	select {
	case <-opened:
		must(errors.New("it did not wait"))
	case <-time.After(300 * time.Millisecond):
	}
	open(through, syscall.O_RDONLY|syscall.O_NONBLOCK).Close()
	must(<-opened)
	_, err := os.OpenFile(through, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	for i := 0; i < 100 && err == nil; i++ {
		time.Sleep(20 * time.Millisecond)
		_, err = os.OpenFile(through, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	}
	if !errors.Is(err, syscall.ENXIO) {
		must(fmt.Errorf("then it could be opened: %v", err))
	}
	fmt.Println("closed")
}

func main() {
	does := map[string]func(string){
		"daemon": daemon, "shim": shim, "stdin": stdin, "process": process, "close": closing,
	}
	does[os.Args[1]](os.Args[2])
}
