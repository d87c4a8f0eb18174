/** The scripts that make a HOST and a chroot of the DPU. */

/** What runs on the HOST beside the server: processes that tests look for. */
export const HOST = `
hostname the-host
mkdir $1/share
mount -t tmpfs hostopt /opt
echo from the HOST >/opt/who
bash -c 'echo $$ >$0/marker.pid; cd /opt; exec -a host-marker sleep inf 7<who 8< <(:)' "$1" &
while :; do
  "$2" server --listen unix://$1/server.sock --state-dir $1/state --export "$3" --export "$1/share" &
  echo $! >$1/server.pid
  wait $! || :
done
`;

/** The chroot of the guide; its programs are this machine's. */
export const ROOT = `
mkdir -p $1/{usr,etc,dev,tmp,proc,local_proc,run}
for link in bin lib lib64 sbin; do [ ! -L /$link ] || cp -P /$link $1; done
for directory in usr etc dev; do mount --bind /$directory $1/$directory; done
mount -t proc proc $1/local_proc
`;
