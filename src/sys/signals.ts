/** Signals by number (asm-generic/signal.h, the same on x86-64 and arm64). */
export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGTERM = 15;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGURG = 23;
export const SIGXFSZ = 25;
export const SIGWINCH = 28;
/** The last one. */
export const SIGRTMAX = 64;
