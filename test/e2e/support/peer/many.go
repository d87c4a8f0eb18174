package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err, text)
	return value
}

// peer serve DIRECTORY FROM COUNT: echoes at COUNT sockets, sFROM and on.
func serve(args []string) {
	from, count := number(args[1]), number(args[2])
	for i := from; i < from+count; i++ {
		listener, err := net.Listen("unix", fmt.Sprintf("%s/s%d", args[0], i))
		must(err, "listen")
		go func() {
			for {
				connection, err := listener.Accept()
				must(err, "accept")
				go returnAll(connection.(*net.UnixConn), false)
			}
		}()
	}
	ready()
	select {}
}

// peer dial DIRECTORY FROM COUNT EACH ROUNDS: EACH connections to each of COUNT sockets, all
// at once; once all are there, each sends ROUNDS messages and gets them back.
func dial(args []string) {
	from, count, each, rounds := number(args[1]), number(args[2]), number(args[3]), number(args[4])
	total := count * each
	var connected, done sync.WaitGroup
	connected.Add(total)
	done.Add(total)
	for i := 0; i < total; i++ {
		i := i
		go func() {
			defer done.Done()
			connection, err := net.Dial("unix", fmt.Sprintf("%s/s%d", args[0], from+i/each))
			must(err, "dial")
			connected.Done()
			connected.Wait()
			pingPong(connection, uint32(from*each+i), rounds)
			connection.Close()
		}()
	}
	done.Wait()
	fmt.Printf("%d connections, %d messages\n", total, total*rounds)
}

func pingPong(connection net.Conn, who uint32, rounds int) {
	sent, got := make([]byte, 200), make([]byte, 200)
	for round := 0; round < rounds; round++ {
		for i := 0; i+8 <= len(sent); i += 8 {
			binary.LittleEndian.PutUint32(sent[i:], who)
			binary.LittleEndian.PutUint32(sent[i+4:], uint32(round))
		}
		_, err := connection.Write(sent)
		must(err, "write")
		_, err = io.ReadFull(connection, got)
		must(err, "read")
		if !bytes.Equal(sent, got) {
			must(fmt.Errorf("others' bytes"), "ping pong")
		}
	}
}

// Bytes that tell where in a stream they are.
type pattern struct{ offset uint64 }

func (p *pattern) fill(buffer []byte) {
	for i := range buffer {
		at := p.offset + uint64(i)
		buffer[i] = byte(at>>(8*(at%8))) ^ byte(at/8*31)
	}
	p.offset += uint64(len(buffer))
}

// peer flood PATH BYTES: sends everybody who connects as much as BYTES.
func flood(args []string) {
	listener, err := net.Listen("unix", args[0])
	must(err, "listen")
	ready()
	for {
		connection, err := listener.Accept()
		must(err, "accept")
		go func() {
			defer connection.Close()
			var source pattern
			buffer := make([]byte, 64<<10)
			for left := number(args[1]); left > 0; left -= len(buffer) {
				source.fill(buffer)
				if _, err := connection.Write(buffer); err != nil {
					return
				}
			}
		}()
	}
}

// peer hoard PATH COUNT: COUNT connections of which one byte each is read, until stdin says
// go on; then all of them are read to their end. Prints how many had the same in them.
func hoard(args []string) {
	count := number(args[1])
	connections := make([]net.Conn, count)
	for i := range connections {
		var err error
		connections[i], err = net.Dial("unix", args[0])
		must(err, "dial")
		_, err = io.ReadFull(connections[i], make([]byte, 1))
		must(err, "read")
	}
	ready()
	os.Stdin.Read(make([]byte, 1))
	sums := make(chan string)
	for _, connection := range connections {
		connection := connection
		go func() {
			sum := sha1.New()
			n, err := io.Copy(sum, connection)
			must(err, "read")
			sums <- fmt.Sprintf("%d bytes %x", n, sum.Sum(nil))
		}()
	}
	found := map[string]int{}
	for range connections {
		found[<-sums]++
	}
	for sum, count := range found {
		fmt.Printf("%d times %s\n", count, sum)
	}
}

// peer fifos DIRECTORY COUNT: opens f0 and on without waiting, finds all of them empty, and
// reads each to its end, all by one epoll. Prints how many brought their own number.
func fifos(args []string) {
	count := number(args[1])
	files := make([]*os.File, count)
	for i := range files {
		var err error
		name := fmt.Sprintf("%s/f%d", args[0], i)
		// Two ends, so that a writer who has not come yet is no end of the file.
		files[i], err = os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
		must(err, "open")
		must(files[i].SetReadDeadline(time.Now().Add(time.Millisecond)), "deadline")
		if n, err := files[i].Read(make([]byte, 1)); !os.IsTimeout(err) {
			must(fmt.Errorf("%d bytes, %v", n, err), "read of an empty FIFO")
		}
		must(files[i].SetReadDeadline(time.Time{}), "deadline")
	}
	ready()
	right := make(chan bool)
	for i, file := range files {
		i, file := i, file
		go func() {
			text := fmt.Sprintf("this is f%d\n", i)
			buffer := make([]byte, len(text))
			_, err := io.ReadFull(file, buffer)
			right <- err == nil && string(buffer) == text
		}()
	}
	good := 0
	for range files {
		if <-right {
			good++
		}
	}
	fmt.Printf("%d of %d\n", good, count)
}

// peer pour PATH BYTES: writes to a FIFO, without blocking and by epoll once it is open.
func pour(args []string) {
	file, err := os.OpenFile(args[0], os.O_WRONLY, 0)
	must(err, "open")
	must(file.SetWriteDeadline(time.Now().Add(time.Minute)), "deadline")
	var source pattern
	buffer, sum := make([]byte, 1<<20), sha1.New()
	for left := number(args[1]); left > 0; left -= len(buffer) {
		source.fill(buffer)
		sum.Write(buffer)
		_, err := file.Write(buffer)
		must(err, "write")
	}
	must(file.Close(), "close")
	fmt.Printf("%x\n", sum.Sum(nil))
}

// peer open r|w DIRECTORY COUNT: opens f0 and on, all at once and each as long as it takes;
// whoever writes writes his number, whoever reads prints how many brought their own.
func openAll(args []string) {
	count := number(args[2])
	right := make(chan bool)
	for i := 0; i < count; i++ {
		name, text := fmt.Sprintf("%s/f%d", args[1], i), fmt.Sprintf("this is f%d\n", i)
		go func() {
			if args[0] == "w" {
				must(os.WriteFile(name, []byte(text), 0), "write")
				right <- true
				return
			}
			bytes, err := os.ReadFile(name)
			must(err, "read")
			right <- string(bytes) == text
		}()
	}
	ready()
	good := 0
	for i := 0; i < count; i++ {
		if <-right {
			good++
		}
	}
	fmt.Printf("%d of %d\n", good, count)
}
