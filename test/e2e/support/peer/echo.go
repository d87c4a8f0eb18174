package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// Of one message; more than that no twin carries.
const largest = 256 << 10

// peer echo unix|unixpacket PATH: returns what it gets, until the other side has no more.
// Prints uid and gid of each peer.
func echo(args []string) {
	listener, err := net.Listen(args[0], args[1])
	must(err, "listen")
	ready()
	for {
		connection, err := listener.Accept()
		must(err, "accept")
		fmt.Println(credentials(connection.(*net.UnixConn)))
		go func() {
			returnAll(connection.(*net.UnixConn), args[0] == "unixpacket")
		}()
	}
}

func returnAll(connection *net.UnixConn, messages bool) {
	defer connection.Close()
	if !messages {
		io.Copy(connection, connection)
		connection.CloseWrite()
		return
	}
	buffer := make([]byte, largest)
	for {
		n, err := connection.Read(buffer)
		if n == 0 || err != nil {
			return
		}
		connection.Write(buffer[:n])
	}
}

func credentials(connection *net.UnixConn) string {
	raw, err := connection.SyscallConn()
	must(err, "descriptor")
	text := ""
	raw.Control(func(fd uintptr) {
		of, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err != nil {
			text = "peer unknown: " + err.Error()
			return
		}
		text = fmt.Sprintf("peer uid %d gid %d", of.Uid, of.Gid)
	})
	return text
}

// peer say unix PATH TEXT…: sends the texts, closes that direction, prints what comes back.
// peer say unixpacket PATH TEXT…: sends each text as a message, prints each that comes back.
func say(args []string) {
	connection, err := net.Dial(args[0], args[1])
	must(err, "dial")
	fmt.Printf("to %s\n", connection.RemoteAddr())
	if args[0] == "unixpacket" {
		sayMessages(connection, args[2:])
		return
	}
	for _, text := range args[2:] {
		_, err := connection.Write([]byte(text))
		must(err, "write")
	}
	must(connection.(*net.UnixConn).CloseWrite(), "shutdown")
	all, err := io.ReadAll(connection)
	must(err, "read")
	fmt.Printf("%s\n", all)
}

func sayMessages(connection net.Conn, texts []string) {
	buffer := make([]byte, largest)
	for _, text := range texts {
		// N*L: N times the letter L.
		if len(text) > 2 && text[len(text)-2] == '*' {
			count, err := strconv.Atoi(text[:len(text)-2])
			must(err, text)
			message := make([]byte, count)
			for i := range message {
				message[i] = text[len(text)-1]
			}
			text = string(message)
		}
		_, err := connection.Write([]byte(text))
		must(err, "write")
	}
	for range texts {
		n, err := connection.Read(buffer)
		must(err, "read")
		if n > 100 {
			fmt.Printf("%d*%c\n", n, buffer[n-1])
		} else {
			fmt.Printf("%s\n", buffer[:n])
		}
	}
}

// peer stall PATH: accepts, and reads nothing.
func stall(args []string) {
	listener, err := net.Listen("unix", args[0])
	must(err, "listen")
	ready()
	kept := []net.Conn{}
	for {
		connection, err := listener.Accept()
		must(err, "accept")
		kept = append(kept, connection)
	}
}

// peer deadlines ECHO STALL: what a deadline is for, at a socket of each of those two.
func deadlines(args []string) {
	connection, err := net.Dial("unix", args[0])
	must(err, "dial")
	buffer := make([]byte, 100)
	connection.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = connection.Read(buffer)
	fmt.Printf("read timed out: %v\n", errors.Is(err, os.ErrDeadlineExceeded))
	connection.SetReadDeadline(time.Time{})
	_, err = connection.Write([]byte("later"))
	must(err, "write")
	n, err := connection.Read(buffer)
	must(err, "read")
	fmt.Printf("read %s\n", buffer[:n])

	blocked := make(chan error)
	go func() {
		_, err := connection.Read(buffer)
		blocked <- err
	}()
	time.Sleep(20 * time.Millisecond)
	connection.Close()
	fmt.Printf("close wakes a reader: %v\n", errors.Is(<-blocked, net.ErrClosed))

	stalled, err := net.Dial("unix", args[1])
	must(err, "dial")
	stalled.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	n, err = stalled.Write(make([]byte, 256<<20))
	fmt.Printf("write timed out: %v, with room for something: %v, and not for all: %v\n",
		errors.Is(err, os.ErrDeadlineExceeded), n > 0, n < 64<<20)
}

// peer accept PATH: nobody connects in time; then somebody does.
func acceptOnce(args []string) {
	listener, err := net.Listen("unix", args[0])
	must(err, "listen")
	listener.(*net.UnixListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = listener.Accept()
	fmt.Printf("accept timed out: %v\n", errors.Is(err, os.ErrDeadlineExceeded))
	listener.(*net.UnixListener).SetDeadline(time.Time{})
	ready()
	connection, err := listener.Accept()
	must(err, "accept")
	// The name is removed with the listener, as Go does, and the connection stays.
	listener.Close()
	_, err = os.Lstat(args[0])
	fmt.Printf("the name is gone: %v\n", os.IsNotExist(err))
	all, err := io.ReadAll(connection)
	must(err, "read")
	fmt.Printf("got %s\n", all)
	connection.Close()
}

// peer urgent PATH: sends one byte out of band between others.
func urgent(args []string) {
	connection, err := net.Dial("unix", args[0])
	must(err, "dial")
	raw, _ := connection.(*net.UnixConn).SyscallConn()
	for _, text := range []string{"before", "!", "after"} {
		flags := 0
		if text == "!" {
			flags = syscall.MSG_OOB
		}
		raw.Write(func(fd uintptr) bool {
			must(syscall.Sendmsg(int(fd), []byte(text), nil, nil, flags), "send")
			return true
		})
	}
	connection.Close()
}

// peer urged PATH: prints the byte out of band as soon as it is there, then the others.
func urged(args []string) {
	listener, err := net.Listen("unix", args[0])
	must(err, "listen")
	ready()
	connection, err := listener.Accept()
	must(err, "accept")
	file, err := connection.(*net.UnixConn).File()
	must(err, "descriptor")
	fd := int(file.Fd())
	// POLLPRI says that it is there.
	pollfd := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 2, 0}
	n, _, errno := syscall.Syscall(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&pollfd)), 1, 0)
	byteOut := make([]byte, 1)
	_, _, err = syscall.Recvfrom(fd, byteOut, syscall.MSG_OOB)
	fmt.Printf("poll %d errno %d; out of band %s %v\n", n, errno, byteOut, err)
	all, err := io.ReadAll(file)
	fmt.Printf("others %s %v\n", all, err)
}
