/**
 * Every bound of the protocol, in one place. A peer that breaks one gets its
 * connection closed with a reason (`ProtocolError`), and nothing else happens.
 * What is checked here is checked before memory is taken for it.
 */

/** Oldest and newest protocol version this build speaks. */
export const VERSION_MIN = 1;
export const VERSION_MAX = 1;

/** Bytes of the prefix before each frame's header. */
export const PREFIX_BYTES = 8;
/** Longest CBOR header of a frame. */
export const HEADER_MAX = 64 * 1024;
/** Longest raw payload of a frame: one FUSE read or write of 256 pages. */
export const PAYLOAD_MAX = 1024 * 1024;
/** Longest frame altogether. */
export const FRAME_MAX = PREFIX_BYTES + HEADER_MAX + PAYLOAD_MAX;

/** Deepest nesting and most items, all levels together, accepted by the cold CBOR decoder. */
export const NESTING_MAX = 8;
export const ITEMS_MAX = 4096;

/** Requests of one session that may be under way at once. */
export const SLOTS_MAX = 512;
/** Bytes of a reply kept per slot for a replay; no changing operation's reply is longer. */
export const REPLAY_MAX = 512;

/** Bytes of one name, of a path or symlink target, of an xattr name and value (limits.h). */
export const NAME_MAX = 255;
export const PATH_MAX = 4095;
export const XATTR_NAME_MAX = 255;
export const XATTR_VALUE_MAX = 65536;

/** Bytes of a mount's options: a page of the smallest kind, which mount(2) takes. */
export const MOUNT_DATA_MAX = 4096;
/** Bytes of a set of processors: those of 8192. */
export const AFFINITY_MAX = 1024;

/** Objects of the new mount API that one session may have: contexts and mounts that are nowhere. */
export const MOUNT_OBJECTS_MAX = 256;
/** Bytes of what the HOST's kernel says of a failed one. */
export const MOUNT_LOG_MAX = 384;

/** Handles (files and directories) one session may hold open. */
export const HANDLES_MAX = 262_144;
/** Inodes one session may know; the kernel is asked to forget long before. */
export const NODES_MAX = 16_777_216;
/** Waits for locks one session may have pending on the server. */
export const WAITS_MAX = 128;
/** Inodes whose happenings one session may want to hear of. */
export const EVENT_WATCHES_MAX = 16_384;
/** Files one session may poll at once. */
export const POLLS_MAX = 1024;
/** Lock owners times inodes one session may hold locks for. */
export const LOCK_FILES_MAX = 16_384;
/** Ranges one lock owner may hold on one inode. */
export const LOCK_RANGES_MAX = 65_536;
/** Mounts of the HOST beneath its root that one session is told of. */
export const MOUNTS_MAX = 4096;
/** File systems in a session's tree that its client is told of. */
export const FILE_SYSTEMS_MAX = 1024;
/** FORGETs in one frame. */
export const FORGETS_MAX = 2048;

/**
 * Streams that each side of a session may have opened at once; credit that a
 * receiver grants at first, in bytes and in messages beside the data; bytes of
 * one stream frame.
 */
export const STREAMS_MAX = 8192;
export const STREAM_MESSAGES_MAX = 64;
export const STREAM_WINDOW = 256 * 1024;
export const STREAM_CHUNK_MAX = 64 * 1024;
/** Bytes of a DATA message that are spliced, to a peer that says `wide-streams`: a wake-up for more of them. */
export const STREAM_SPLICED_MAX = 256 * 1024;

/** Bytes of stream frames that a side keeps until the peer has acknowledged them. */
export const UNACKNOWLEDGED_MAX = 8 * 1024 * 1024;
/** Sockets, FIFOs and passed files that a session may have keys for. */
export const TWINS_MAX = 16_384;
/** Bytes of a message of a socket that keeps messages apart. */
export const MESSAGE_MAX = 256 * 1024;
/** Bytes of a file in memory that is passed over a socket. */
export const MEMFD_MAX = 64 * 1024 * 1024;
/** Bytes of the name of a socket that is bound: what fits into sun_path (linux/un.h) with its NUL. */
export const SOCKET_NAME_MAX = 107;

/** Bytes of an order to start a program: its arguments and environment (execve(2) takes 6 MiB). */
export const ORDER_MAX = 8 * 1024 * 1024;
/** Its arguments and variables: with an address for each, what execve(2) takes. */
export const ORDER_WORDS_MAX = 700_000;
/** Descriptors of a program, and the highest number that one may have. */
export const PROGRAM_FDS_MAX = 64;
export const PROGRAM_FD_MAX = 255;
/** Credit that a receiver of a program's bytes gives at most, while it consumes all at once. */
export const PROGRAM_WINDOW_MAX = 1024 * 1024;
/** What pipes at both ends hold once much goes through them: what any user may have (pipe(7)). */
export const PROGRAM_PIPE_BYTES = 1024 * 1024;
/** What the pipe holds that keeps spliced data of a session until it is acknowledged. */
export const SPLICE_KEPT_MAX = 1024 * 1024;
/** Sessions of a rexec-server, each with one program. */
export const PROGRAMS_MAX = 4096;
/** Those of one user who is not root, or of all who come by TCP without a name: others get some, too. */
export const PROGRAMS_OF_USER_MAX = 1024;

/** Bytes of a HELLO's header. */
export const HELLO_MAX = 4096;
/** Connections a server holds that have not said HELLO yet, and how long they may take. */
export const GREETERS_MAX = 64;
/** Those of a rexec-server that are one user's who is not root, or of all whose user is not known. */
export const GREETERS_OF_USER_MAX = 32;
export const GREETING_TIMEOUT_MS = 5_000;
/** Sessions one server has at once, those without a connection too. */
export const SESSIONS_MAX = 256;
/** How long a session outlives its connection. */
export const LEASE_MS = 60_000;
