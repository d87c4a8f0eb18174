package main

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// peer notified PATH N: receives N datagrams as a service manager does, prints of each who
// sent it, and closes the descriptors that come with it.
func notified(args []string) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: args[0], Net: "unixgram"})
	must(err, "bind")
	raw, err := socket.SyscallConn()
	must(err, "descriptor")
	raw.Control(func(fd uintptr) {
		must(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1), "SO_PASSCRED")
	})
	ready()
	var count int
	fmt.Sscan(args[1], &count)
	for ; count > 0; count-- {
		buffer, ancillary := make([]byte, largest), make([]byte, 1024)
		n, m, _, _, err := socket.ReadMsgUnix(buffer, ancillary)
		must(err, "recvmsg")
		who, passed := parse(ancillary[:m])
		text := string(buffer[:n])
		if n > 100 {
			text = fmt.Sprintf("%d bytes", n)
		}
		fmt.Printf("%s: %s, %d descriptors\n", who, text, len(passed))
		for _, fd := range passed {
			syscall.Close(fd)
		}
	}
}

// Credentials as text, and descriptors, of a message.
func parse(ancillary []byte) (string, []int) {
	who, passed := "nobody", []int{}
	messages, err := syscall.ParseSocketControlMessage(ancillary)
	must(err, "ancillary data")
	for _, message := range messages {
		if of, err := syscall.ParseUnixCredentials(&message); err == nil {
			isPid := "a process"
			if syscall.Kill(int(of.Pid), 0) == syscall.ESRCH {
				isPid = "no process"
			}
			who = fmt.Sprintf("uid %d gid %d %s", of.Uid, of.Gid, isPid)
		}
		if fds, err := syscall.ParseUnixRights(&message); err == nil {
			passed = append(passed, fds...)
		}
	}
	return who, passed
}

// peer notify PATH: sends to it as sd_notify(3) does: a state, the same with explicit
// credentials, one of 100,000 bytes, and a barrier, which is over when the receiver has
// closed what it got.
func notify(args []string) {
	to := &net.UnixAddr{Name: args[0], Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	must(err, "socket")
	_, _, err = socket.WriteMsgUnix([]byte("READY=1"), nil, to)
	must(err, "sendmsg")
	mine := syscall.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	_, _, err = socket.WriteMsgUnix([]byte("STATUS=mine"), syscall.UnixCredentials(&mine), to)
	must(err, "sendmsg with credentials")
	_, _, err = socket.WriteMsgUnix(make([]byte, 100_000), nil, to)
	must(err, "sendmsg of much")
	read, write, err := os.Pipe()
	must(err, "pipe")
	_, _, err = socket.WriteMsgUnix([]byte("BARRIER=1"), syscall.UnixRights(int(write.Fd())), to)
	must(err, "sendmsg with a descriptor")
	write.Close()
	read.Read(make([]byte, 1))
	fmt.Println("the barrier is over")
}

// peer answer PATH: a datagram socket; what comes goes back to whoever sent it, by its name.
func answer(args []string) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: args[0], Net: "unixgram"})
	must(err, "bind")
	ready()
	for {
		buffer := make([]byte, largest)
		n, from, err := socket.ReadFromUnix(buffer)
		must(err, "recvfrom")
		if from == nil || from.Name == "" {
			fmt.Printf("from nobody: %s\n", buffer[:n])
			continue
		}
		_, err = socket.WriteToUnix(append([]byte("answer to "), buffer[:n]...), from)
		must(err, "sendto "+from.Name)
		fmt.Printf("from %s: %s\n", from.Name, buffer[:n])
	}
}

// peer ask PATH OWN TEXT…: sends each text from the name OWN and prints what comes back.
func ask(args []string) {
	own := &net.UnixAddr{Name: args[1], Net: "unixgram"}
	socket, err := net.DialUnix("unixgram", own, &net.UnixAddr{Name: args[0], Net: "unixgram"})
	must(err, "connect")
	for _, text := range args[2:] {
		_, err := socket.Write([]byte(text))
		must(err, "send")
		buffer := make([]byte, largest)
		n, err := socket.Read(buffer)
		must(err, "recv")
		fmt.Printf("%s\n", buffer[:n])
	}
}
