"""Sockets with abstract names: names.py serve|once|inherit|bind|call KIND NAME [MESSAGE [USER]]; says what came of it."""
import errno, os, socket, struct, sys

what, kind, name = sys.argv[1:4]
KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}
s = socket.socket(socket.AF_UNIX, KINDS[kind])
address = "\0" + name


def say(text):
    print(text, flush=True)


def peer(connection):
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid


def answer():
    if kind == "dgram":
        data, sender = s.recvfrom(100)
        say("got " + data.decode())
        if sender:
            s.sendto(b"answer to " + data, sender)
        return
    connection, _ = s.accept()
    data = connection.recv(100)
    say("got " + data.decode() + " of user " + str(peer(connection)))
    connection.sendall(b"answer to " + data)
    connection.close()


try:
    if what == "call":
        if kind == "dgram":
            s.bind("")
        if len(sys.argv) > 5:
            os.setgroups([])
            os.setgid(int(sys.argv[5]))
            os.setuid(int(sys.argv[5]))
        s.settimeout(10)
        s.connect(address)
        s.sendall(sys.argv[4].encode())
        say(s.recv(100).decode() + " from " + s.getpeername()[1:].decode())
    else:
        s.bind(address)
        if kind != "dgram":
            s.listen()
        if what == "inherit":
            read, write = os.pipe()
            if os.fork() > 0:
                os._exit(0)
            os.close(write)
            os.read(read, 1)
        say("ready")
        while what != "bind":
            answer()
            if what == "once":
                break
        if what == "bind":
            sys.stdin.read()
except OSError as error:
    say(errno.errorcode.get(error.errno, str(error)))
