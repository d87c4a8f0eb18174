package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"syscall"
	"unsafe"
)

// How the two meet: `listen` or `dial`, unix or unixpacket, PATH.
func meet(args []string) *net.UnixConn {
	if args[0] == "dial" {
		connection, err := net.Dial(args[1], args[2])
		must(err, "dial")
		return connection.(*net.UnixConn)
	}
	listener, err := net.Listen(args[1], args[2])
	must(err, "listen")
	ready()
	connection, err := listener.Accept()
	must(err, "accept")
	return connection.(*net.UnixConn)
}

// peer take listen|dial unix|unixpacket PATH: gets messages with descriptors. Each byte of
// a message says what to do with one of them; a line comes back on what was found.
func take(args []string) {
	connection := meet(args)
	for {
		letters, ancillary := make([]byte, 300), make([]byte, 8192)
		n, m, _, _, err := connection.ReadMsgUnix(letters, ancillary)
		if n == 0 || err != nil {
			return
		}
		_, passed := parse(ancillary[:m])
		found := []string{}
		for i, fd := range passed {
			syscall.SetNonblock(fd, false)
			found = append(found, use(letters[i], fd))
		}
		if len(passed) != n {
			found = append(found, fmt.Sprintf("%d descriptors with %d bytes", len(passed), n))
		}
		line := strings.ReplaceAll(strings.Join(found, " | "), "\n", "\\n")
		if len(found) > 9 && strings.Count(line, found[0]) == len(found) {
			line = fmt.Sprintf("%d times %s", len(found), found[0])
		}
		_, err = connection.Write([]byte(line + "\n"))
		must(err, "answer")
	}
}

var types = map[uint32]string{
	syscall.S_IFREG: "file", syscall.S_IFDIR: "directory", syscall.S_IFIFO: "pipe",
	syscall.S_IFSOCK: "socket", syscall.S_IFCHR: "device", 0: "anonymous",
}

func kind(fd int) string {
	var status syscall.Stat_t
	must(syscall.Fstat(fd, &status), "fstat")
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	text := types[status.Mode&syscall.S_IFMT]
	if text == "file" || text == "pipe" {
		text += " " + []string{"r", "w", "rw", "?"}[flags&syscall.O_ACCMODE]
	}
	if flags&syscall.O_APPEND != 0 {
		text += " append"
	}
	return text
}

func use(letter byte, fd int) string {
	file := os.NewFile(uintptr(fd), "passed")
	defer file.Close()
	is := kind(fd)
	switch letter {
	case 'r':
		at, err := syscall.Seek(fd, 0, io.SeekCurrent)
		all, problem := io.ReadAll(file)
		if err != nil {
			at = -1
		}
		return fmt.Sprintf("%s at %d: %s %v", is, at, short(all), problem)
	case 'w':
		_, err := file.WriteString("written by who took it")
		return fmt.Sprintf("%s %v", is, err)
	case 'W':
		var source pattern
		buffer := make([]byte, 4<<20)
		source.fill(buffer)
		_, err := file.Write(buffer)
		return fmt.Sprintf("%s %v", is, err)
	case 'l':
		names, err := file.Readdirnames(-1)
		sort.Strings(names)
		return fmt.Sprintf("%s %v %v", is, names, err)
	case 'e':
		all, err := io.ReadAll(file)
		file.Write(all)
		return fmt.Sprintf("%s %s %v", is, short(all), err)
	case 'v':
		count := make([]byte, 8)
		_, err := file.Read(count)
		_, problem := file.Write([]byte{3, 0, 0, 0, 0, 0, 0, 0})
		return fmt.Sprintf("%s %d %v %v", is, binary.LittleEndian.Uint64(count), err, problem)
	case 't':
		var size [4]uint16
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGWINSZ,
			uintptr(unsafe.Pointer(&size)))
		_, err := file.WriteString("typed")
		return fmt.Sprintf("%s %d rows %d columns errno %d %v", is, size[0], size[1], errno, err)
	}
	return is
}

func short(bytes []byte) string {
	if len(bytes) < 200 {
		return string(bytes)
	}
	return fmt.Sprintf("%d bytes %x", len(bytes), sha1.Sum(bytes))
}

// One who gives descriptors, and prints what the other says of them.
type giver struct {
	connection *net.UnixConn
	answers    *bufio.Reader
	directory  string
}

// Does what is to be done here, and says what it has seen.
type deed func() string

// Sends descriptors, one for each letter, and has them closed here; does `first` before the
// answer can come, and `last` after it.
func (g *giver) pass(name, letters string, first, last deed, files ...*os.File) {
	fds := []int{}
	for _, file := range files {
		fds = append(fds, int(file.Fd()))
	}
	_, _, err := g.connection.WriteMsgUnix([]byte(letters), syscall.UnixRights(fds...), nil)
	must(err, name)
	for _, file := range files {
		file.Close()
	}
	seen := ""
	if first != nil {
		seen += "; " + first()
	}
	answer, err := g.answers.ReadString('\n')
	must(err, name)
	if last != nil {
		seen += "; " + last()
	}
	fmt.Printf("%s: %s%s\n", name, strings.TrimSpace(answer), seen)
}

func pipe() (*os.File, *os.File) {
	var ends [2]int
	must(syscall.Pipe2(ends[:], syscall.O_CLOEXEC), "pipe")
	return os.NewFile(uintptr(ends[0]), "r"), os.NewFile(uintptr(ends[1]), "w")
}

func pair() (*os.File, *os.File) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(err, "socketpair")
	return os.NewFile(uintptr(ends[0]), "one"), os.NewFile(uintptr(ends[1]), "other")
}

func all(file *os.File) string {
	bytes, err := io.ReadAll(file)
	file.Close()
	if err != nil {
		return err.Error()
	}
	return short(bytes)
}

// peer give listen|dial unix|unixpacket PATH DIRECTORY: passes one of everything; files are
// made in DIRECTORY.
func give(args []string) {
	connection := meet(args)
	g := &giver{connection, bufio.NewReaderSize(connection, 8192), args[3]}
	must(os.Mkdir(g.directory, 0o755), "mkdir")
	g.files()
	g.pipes()
	g.sockets()
	g.kernelObjects()
	g.terminal()
	g.several()
	connection.Close()
}

func (g *giver) file(name string, flags int) *os.File {
	path := g.directory + "/" + name
	must(os.WriteFile(path, []byte("0123456789abcdef"), 0o644), "write")
	fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0)
	must(err, "open")
	return os.NewFile(uintptr(fd), path)
}

func (g *giver) contents(name string) deed {
	return func() string {
		bytes, err := os.ReadFile(g.directory + "/" + name)
		must(err, name)
		return string(bytes)
	}
}

func (g *giver) files() {
	at5 := g.file("offset", syscall.O_RDWR)
	at5.Seek(5, io.SeekStart)
	g.pass("file at an offset", "r", nil, nil, at5)
	end := g.file("append", syscall.O_WRONLY|syscall.O_APPEND)
	g.pass("file to append to", "w", nil, g.contents("append"), end)
	gone := g.file("gone", syscall.O_RDONLY)
	must(os.Remove(g.directory+"/gone"), "remove")
	g.pass("file without a name", "r", nil, nil, gone)
	directory, err := os.Open(g.directory)
	must(err, "open")
	g.pass("directory", "l", nil, nil, directory)
}

func (g *giver) pipes() {
	read, write := pipe()
	g.pass("pipe to read", "r", func() string {
		write.WriteString("through a pipe")
		write.Close()
		return "written"
	}, nil, read)
	read, write = pipe()
	g.pass("pipe to write", "w", func() string { return all(read) }, nil, write)
	read, write = pipe()
	g.pass("pipe to write much", "W", func() string { return all(read) }, nil, write)
}

func (g *giver) sockets() {
	one, other := pair()
	speak := func(socket *os.File) deed {
		return func() string {
			socket.WriteString("over a socket")
			syscall.Shutdown(int(socket.Fd()), syscall.SHUT_WR)
			return all(socket)
		}
	}
	g.pass("end of a socket pair", "e", speak(one), nil, other)
	name := g.directory + "/listening"
	listener, err := net.Listen("unix", name)
	must(err, "listen")
	out, err := net.Dial("unix", name)
	must(err, "dial")
	in, err := listener.Accept()
	must(err, "accept")
	mine, _ := out.(*net.UnixConn).File()
	passed, _ := in.(*net.UnixConn).File()
	out.Close()
	in.Close()
	listener.Close()
	syscall.SetNonblock(int(mine.Fd()), false)
	g.pass("connected socket", "e", speak(mine), nil, passed)
}

func (g *giver) kernelObjects() {
	text := []byte("memfd\x00")
	fd, _, errno := syscall.Syscall(319, uintptr(unsafe.Pointer(&text[0])), 0, 0)
	if errno != 0 {
		must(errno, "memfd_create")
	}
	memory := os.NewFile(fd, "memfd")
	memory.WriteString("in memory")
	memory.Seek(0, io.SeekStart)
	g.pass("memfd", "r", nil, nil, memory)

	count, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 7, 0, 0)
	if errno != 0 {
		must(errno, "eventfd")
	}
	copied, err := syscall.Dup(int(count))
	must(err, "dup")
	g.pass("eventfd", "v", nil, func() string {
		left := make([]byte, 8)
		_, err := syscall.Read(copied, left)
		syscall.Close(copied)
		return fmt.Sprint(binary.LittleEndian.Uint64(left), err)
	}, os.NewFile(count, "eventfd"))
}

func control(file *os.File, command uintptr, argument unsafe.Pointer) {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), command, uintptr(argument))
	if errno != 0 {
		must(errno, "ioctl")
	}
}

func (g *giver) terminal() {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(err, "ptmx")
	var unlocked, number int32
	control(master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	control(master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := [4]uint16{40, 100}
	control(master, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(err, "slave")
	g.pass("terminal", "t", nil, func() string {
		typed := make([]byte, 5)
		_, err := io.ReadFull(master, typed)
		master.Close()
		return fmt.Sprintf("%s %v", typed, err)
	}, slave)
}

func (g *giver) several() {
	read, write := pipe()
	other, end := pipe()
	directory, err := os.Open(g.directory)
	must(err, "open")
	g.pass("three at once", "wrl", func() string {
		end.WriteString("second")
		end.Close()
		return all(read)
	}, nil, write, other, directory)
	writers, readers := []*os.File{}, []*os.File{}
	for i := 0; i < 60; i++ {
		read, write := pipe()
		writers, readers = append(writers, write), append(readers, read)
	}
	g.pass("sixty at once", strings.Repeat("w", 60), func() string {
		same := 0
		for _, read := range readers {
			if all(read) == "written by who took it" {
				same++
			}
		}
		return fmt.Sprint(same)
	}, nil, writers...)
}
